"""People get a key that makes their name unique whatever its case, and what accounts need."""

import accounts.models
import django.contrib.postgres.indexes
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def fill_keys(apps, schema_editor):
    """Give everybody their key. Of names that differ in case only, the oldest one keeps it: the
    others log in again once somebody has renamed them.
    """
    from accounts.names import username_key

    users = apps.get_model('accounts', 'User').objects
    taken = set()
    for pk, username in users.order_by('pk').values_list('pk', 'username'):
        key = username_key(username)
        if key in taken:
            key = f'{key[:400]}\x01{pk}'
        taken.add(key)
        # `update` does not ask the field, which would compute the key itself.
        users.filter(pk=pk).update(username_key=key)


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0001_initial'),
    ]

    operations = [
        migrations.AlterModelManagers(
            name='user',
            managers=[
                ('objects', accounts.models.UserManager()),
            ],
        ),
        migrations.AddField(
            model_name='user',
            name='image',
            field=models.CharField(blank=True, db_default='', default='', editable=False, max_length=100),
        ),
        migrations.AddField(
            model_name='user',
            name='nickname',
            field=models.CharField(blank=True, db_default='', default='', max_length=30),
        ),
        migrations.AddField(
            model_name='user',
            name='username_key',
            field=accounts.models.UsernameKeyField(editable=False, max_length=450, null=True),
        ),
        migrations.RunPython(fill_keys, migrations.RunPython.noop),
        migrations.AlterField(
            model_name='user',
            name='username_key',
            field=accounts.models.UsernameKeyField(editable=False, max_length=450),
        ),
        migrations.AlterField(
            model_name='user',
            name='username',
            field=models.CharField(error_messages={'unique': 'A user with that username already exists.'}, help_text='At most 150 characters, none of them invisible. Case makes no difference.', max_length=150, unique=True, validators=[accounts.models.validate_username]),
        ),
        migrations.CreateModel(
            name='Lockout',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('account', 'account'), ('address', 'address')], max_length=7)),
                ('subject', models.CharField(max_length=450)),
                ('failures', models.IntegerField()),
                ('last_failure_at', models.DateTimeField()),
                ('locked_until', models.DateTimeField(null=True)),
            ],
            options={
                'ordering': ['-last_failure_at'],
                'indexes': [models.Index(fields=['last_failure_at'], name='lockout_last')],
                'constraints': [models.UniqueConstraint(fields=('kind', 'subject'), name='lockout_subject')],
            },
        ),
        migrations.CreateModel(
            name='AuditEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField()),
                ('kind', models.CharField(choices=[('register', 'registered'), ('login', 'logged in'), ('failure', 'failed to log in'), ('lockout', 'was locked out'), ('unlock', 'was unlocked'), ('password', 'changed the password'), ('logout', 'logged out')], max_length=8)),
                ('username', models.CharField(blank=True, max_length=150)),
                ('address', models.CharField(blank=True, max_length=150)),
                ('detail', models.CharField(blank=True, max_length=150)),
                ('user', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-id'],
                'indexes': [django.contrib.postgres.indexes.BrinIndex(fields=['at'], name='audit_at'), models.Index(fields=['user', '-id'], name='audit_user')],
            },
        ),
        migrations.CreateModel(
            name='Session',
            fields=[
                ('id', models.UUIDField(default=accounts.models.new_session_id, editable=False, primary_key=True, serialize=False)),
                ('token_hash', models.BinaryField(max_length=32, unique=True)),
                ('device', models.CharField(blank=True, max_length=200)),
                ('address', models.GenericIPAddressField(null=True)),
                ('created_at', models.DateTimeField()),
                ('last_used_at', models.DateTimeField()),
                ('expires_at', models.DateTimeField()),
                ('ended_at', models.DateTimeField(null=True)),
                ('changed_at', models.DateTimeField(null=True)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='sessions', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-created_at'],
                'indexes': [models.Index(fields=['user', '-created_at'], name='session_user'), models.Index(condition=models.Q(('changed_at__isnull', False)), fields=['changed_at'], name='session_changed'), models.Index(fields=['expires_at'], name='session_expiry')],
            },
        ),
    ]
