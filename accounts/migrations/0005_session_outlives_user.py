"""The sessions of a person who is deleted stay: their end is what tells other processes."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("accounts", "0004_user_image")]

    operations = [
        migrations.AlterField(
            model_name="session",
            name="user",
            field=models.ForeignKey(
                db_constraint=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="sessions",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        # On the way back: what has nobody would be refused.
        migrations.RunSQL(
            migrations.RunSQL.noop,
            """
            DELETE FROM accounts_session AS session WHERE NOT EXISTS (
                SELECT FROM accounts_user AS person WHERE person.id = session.user_id
            )
            """,
        ),
    ]
