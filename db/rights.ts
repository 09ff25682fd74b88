import { RUNTIME_ROLE } from '#platform/runtime-role.js';
import { RETENTION_ROLE } from './roles.js';

/**
 * What migrations cannot hold: rights on the database itself are in no dump and no copy of a template, and whoever restores
 * a dump may become the owner of its functions. So they are set whenever `migrate` has run, and looked at.
 */
interface Sql {
  // biome-ignore lint/suspicious/noExplicitAny: TypeORM's runner and pg's client both do
  query(sql: string): Promise<any>;
}

/** A temporary table can take the place of a real one in a query that does not say which it means. */
export const CLOSE_DATABASE = `
DO $$ BEGIN
  EXECUTE format('REVOKE CREATE, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
  REVOKE CREATE ON SCHEMA public FROM PUBLIC;
END $$`;

/** PostgreSQL lets everybody write large objects. Only a superuser can take that back; others are warned by PostgreSQL. */
const CLOSE_LARGE_OBJECTS = `
DO $$ DECLARE function regprocedure; BEGIN
  FOR function IN
    SELECT oid FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ '^lo_|^lo(read|write)$'
       AND has_function_privilege('${RUNTIME_ROLE}', oid, 'EXECUTE')
  LOOP
    EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', function);
  END LOOP;
END $$`;

/** An owner needs CREATE on the schema while it is given something. */
const GIVE_DEFINERS_THEIR_OWNER = `
DO $$ DECLARE function regprocedure; BEGIN
  FOR function IN
    SELECT oid FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef AND proowner <> '${RETENTION_ROLE}'::regrole
  LOOP
    GRANT CREATE ON SCHEMA public TO ${RETENTION_ROLE};
    EXECUTE format('ALTER FUNCTION %s OWNER TO ${RETENTION_ROLE}', function);
    REVOKE CREATE ON SCHEMA public FROM ${RETENTION_ROLE};
  END LOOP;
END $$`;

const OPEN = `
SELECT format('REVOKE %s ON DATABASE %I FROM PUBLIC', privilege, current_database()) AS revoke
  FROM unnest(ARRAY['CREATE', 'TEMPORARY']) AS privilege
 WHERE has_database_privilege('${RUNTIME_ROLE}', current_database(), privilege)
UNION ALL SELECT 'REVOKE CREATE ON SCHEMA public FROM PUBLIC' WHERE has_schema_privilege('${RUNTIME_ROLE}', 'public', 'CREATE')`;

export async function ensureRights(sql: Sql): Promise<void> {
  for (const statement of [CLOSE_DATABASE, CLOSE_LARGE_OBJECTS, GIVE_DEFINERS_THEIR_OWNER]) await sql.query(statement);
  const [open] = await sql.query(OPEN);
  if (open)
    throw new Error(
      `the role ${RUNTIME_ROLE} may do more than it should; as the owner of the database: ${open.revoke}`,
    );
}
