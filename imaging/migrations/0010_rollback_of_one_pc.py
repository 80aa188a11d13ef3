from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('imaging', '0009_distrusted_deliveries'),
    ]

    operations = [
        migrations.AlterField(
            model_name='distribution',
            name='kind',
            field=models.CharField(choices=[('manual', 'manual'), ('on_publish', 'automatic, on publish'), ('on_join', 'automatic, on joining'), ('rollback', 'rollback'), ('one_pc', 'rollback of one PC')], default='manual', max_length=10, verbose_name='kind'),
        ),
    ]
