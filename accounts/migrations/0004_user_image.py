"""An index of people's pictures, made without keeping anybody from writing."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("accounts", "0003_username_key_unique")]

    operations = [
        AddIndexConcurrently(
            model_name="user",
            index=models.Index(
                condition=models.Q(("image", ""), _negated=True),
                fields=["image"],
                name="user_image",
            ),
        ),
    ]
