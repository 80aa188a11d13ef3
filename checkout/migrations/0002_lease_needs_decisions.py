"""The database itself refuses a lease whose request was not approved at each step, and a decision that changes.

A rule over three tables is a trigger, in SQLite's words or PostgreSQL's. A later migration that makes one of
these tables anew in SQLite has to make its triggers anew: tests/checkout/test_attacks.py sees to it.
"""

from django.db import migrations

MISSING = """
    NOT EXISTS (SELECT 1 FROM checkout_checkoutrequest r WHERE r.id = NEW.request_id
        AND r.state = 'permitted' AND r.volume_id = NEW.volume_id AND r.client_id = NEW.client_id
        AND NEW.starts >= r.starts AND NEW.ends <= r.ends
        AND r.steps_total >= 1 AND r.steps_total = (SELECT count(*) FROM checkout_requeststep s
            WHERE s.request_id = r.id AND s.round = r.round AND s.decision = 'approved')
        AND NOT EXISTS (SELECT 1 FROM checkout_requeststep s
            WHERE s.request_id = r.id AND s.round = r.round AND s.decision <> 'approved'))
"""
CHANGED = "OLD.decision <> '' OR NEW.requester_id <> OLD.requester_id"

SQLITE = [
    f"""CREATE TRIGGER checkout_lease_needs_decisions BEFORE INSERT ON checkout_lease WHEN {MISSING}
        BEGIN SELECT RAISE(ABORT, 'checkout_lease_needs_decisions'); END""",
    f"""CREATE TRIGGER checkout_decision_is_final BEFORE UPDATE ON checkout_requeststep WHEN {CHANGED}
        BEGIN SELECT RAISE(ABORT, 'checkout_decision_is_final'); END""",
]
SQLITE_BACK = ["DROP TRIGGER checkout_lease_needs_decisions", "DROP TRIGGER checkout_decision_is_final"]

POSTGRESQL = [
    f"""CREATE FUNCTION checkout_lease_needs_decisions() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF {MISSING} THEN
            RAISE EXCEPTION 'checkout_lease_needs_decisions' USING ERRCODE = 'check_violation';
        END IF; RETURN NEW; END $$""",
    """CREATE TRIGGER checkout_lease_needs_decisions BEFORE INSERT ON checkout_lease
        FOR EACH ROW EXECUTE FUNCTION checkout_lease_needs_decisions()""",
    f"""CREATE FUNCTION checkout_decision_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN IF {CHANGED} THEN
            RAISE EXCEPTION 'checkout_decision_is_final' USING ERRCODE = 'check_violation';
        END IF; RETURN NEW; END $$""",
    """CREATE TRIGGER checkout_decision_is_final BEFORE UPDATE ON checkout_requeststep
        FOR EACH ROW EXECUTE FUNCTION checkout_decision_is_final()""",
]
POSTGRESQL_BACK = [
    "DROP TRIGGER checkout_lease_needs_decisions ON checkout_lease",
    "DROP TRIGGER checkout_decision_is_final ON checkout_requeststep",
    "DROP FUNCTION checkout_lease_needs_decisions()",
    "DROP FUNCTION checkout_decision_is_final()",
]


def forwards(apps, schema_editor):
    run(schema_editor, SQLITE if schema_editor.connection.vendor == "sqlite" else POSTGRESQL)


def backwards(apps, schema_editor):
    run(schema_editor, SQLITE_BACK if schema_editor.connection.vendor == "sqlite" else POSTGRESQL_BACK)


def run(schema_editor, statements):
    for statement in statements:
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("checkout", "0001_requests_and_leases")]

    operations = [migrations.RunPython(forwards, backwards, elidable=False)]
