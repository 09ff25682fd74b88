import pg from 'pg';
import { ensureRuntimeRole, untilNobodyInterferes, withConnection } from '#platform/runtime-role.js';

/**
 * Owns the functions that may do more than the role that calls them (SECURITY DEFINER). Nobody logs in as it, row-level
 * security holds for it, and it has the rights that its functions need and no others.
 */
export const RETENTION_ROLE = 'counterfoil_retention';

/** Both roles, before anything is granted to them: a migration, or a dump that is to be restored. */
export async function ensureRoles(ownerUrl: string, runtimeUrl: string): Promise<void> {
  await ensureRuntimeRole(ownerUrl, runtimeUrl);
  await untilNobodyInterferes(() => withConnection(ownerUrl, ensureRetentionRole));
}

async function ensureRetentionRole(client: pg.Client): Promise<void> {
  const { rows } = await client.query(
    'SELECT rolcanlogin OR rolsuper OR rolbypassrls AS unsafe FROM pg_roles WHERE rolname = $1',
    [RETENTION_ROLE],
  );
  if (rows[0]?.unsafe) throw new Error(`the role ${RETENTION_ROLE} may log in or bypass row-level security`);
  if (rows.length === 0) {
    await client.query(
      `CREATE ROLE ${RETENTION_ROLE} NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOREPLICATION NOBYPASSRLS`,
    );
  }
  await joinRetentionRole(client);
}

/** Functions are given to a role, and replaced, by its members. Who may only CREATEROLE is admin of what it created, no member. */
async function joinRetentionRole(client: pg.Client): Promise<void> {
  const { rows } = await client.query(
    `SELECT current_user AS me, pg_has_role($1, 'SET') AND pg_has_role($1, 'USAGE') AS is_member`,
    [RETENTION_ROLE],
  );
  const { me, is_member: isMember } = rows[0];
  if (isMember) return;
  const grant = `GRANT ${RETENTION_ROLE} TO ${pg.escapeIdentifier(me)} WITH INHERIT TRUE, SET TRUE`;
  try {
    await client.query(grant);
  } catch (error) {
    if (!(error instanceof pg.DatabaseError) || error.code !== '42501') throw error;
    throw new Error(`another owner on this server created the role ${RETENTION_ROLE}; as a superuser: ${grant}`, {
      cause: error,
    });
  }
}
