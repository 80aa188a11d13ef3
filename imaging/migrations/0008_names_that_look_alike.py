from django.db import migrations, models


class Migration(migrations.Migration):

    # Nothing changes in the database: the words of a name that is taken are the model's, no longer the field's.
    dependencies = [
        ('imaging', '0007_terms_of_automatic_distributions'),
    ]

    operations = [
        migrations.AlterField(
            model_name='masterimage',
            name='skeleton',
            field=models.CharField(editable=False, max_length=128, unique=True),
        ),
    ]
