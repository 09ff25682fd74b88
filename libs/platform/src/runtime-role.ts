import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

/** The role that the service runs as. It owns nothing and row-level security holds for it. */
export const RUNTIME_ROLE = 'counterfoil_runtime';

const CONNECT_TIMEOUT_MS = 5_000;
const STATEMENT_TIMEOUT_MS = 10_000;
/** Roles belong to the whole server, so other processes and databases may create or alter this one at the same time. */
const ATTEMPTS = 10;
const PAUSE_MS = 100;
const UNDEFINED_ROLE_OR_PASSWORD = new Set(['28000', '28P01']);
/** Role exists already (23505 when two CREATE ROLE meet in the catalogue); tuple concurrently updated. */
const LOST_RACES = new Set(['42710', '23505', 'XX000']);
const SCRAM_ITERATIONS = 4_096;

/**
 * Where the service itself connects: DATABASE_RUNTIME_URL when given, else the owner's URL with the runtime role and a
 * password that is derived from the owner's, so that every process finds the same one without storing it. Host and
 * database do not enter: the role is shared by all databases of a server. An owner without a password gives none.
 */
export function runtimeUrlOf(ownerUrl: string, runtimeUrl?: string): string {
  if (runtimeUrl !== undefined) return runtimeUrl;
  const url = new URL(ownerUrl);
  const ownerPassword = decodeURIComponent(url.password) || url.searchParams.get('password') || '';
  const password =
    ownerPassword === ''
      ? ''
      : createHmac('sha256', ownerPassword).update(`${RUNTIME_ROLE} password`).digest('base64url');
  url.searchParams.delete('user');
  url.searchParams.delete('password');
  if (url.hostname === '') {
    // A URL without a host (a Unix socket in ?host=) has no place for credentials but its query.
    url.searchParams.set('user', RUNTIME_ROLE);
    if (password !== '') url.searchParams.set('password', password);
  } else {
    url.username = RUNTIME_ROLE;
    url.password = password;
  }
  return url.href;
}

export function passwordOf(url: string): string {
  const parsed = new URL(url);
  return decodeURIComponent(parsed.password) || parsed.searchParams.get('password') || '';
}

function userOf(url: string): string {
  const parsed = new URL(url);
  return decodeURIComponent(parsed.username) || parsed.searchParams.get('user') || '';
}

/**
 * Makes sure that the runtime URL logs in. Tries that first, and touches the role only when it fails: a role that is altered
 * on each start meets itself from several processes. Throws when the role could bypass row-level security.
 */
export async function ensureRuntimeRole(ownerUrl: string, runtimeUrl: string): Promise<void> {
  if (userOf(runtimeUrl) !== RUNTIME_ROLE) {
    throw new Error(
      `the user of DATABASE_RUNTIME_URL must be ${RUNTIME_ROLE}: the migrations grant their rights to that role`,
    );
  }
  if ((await tryLogin(runtimeUrl)) === undefined) return;
  await untilNobodyInterferes(() => createOrAlter(ownerUrl, passwordOf(runtimeUrl)));
  const failure = await tryLogin(runtimeUrl);
  if (failure === undefined) return;
  throw new Error(`the role ${RUNTIME_ROLE} cannot log in; set DATABASE_RUNTIME_URL to a URL that does`, {
    cause: failure,
  });
}

/** Tries again what another process got ahead of: it makes the same. */
export async function untilNobodyInterferes(change: () => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await change();
    } catch (error) {
      const isLostRace = error instanceof pg.DatabaseError && LOST_RACES.has(error.code ?? '');
      if (!isLostRace || attempt === ATTEMPTS) throw error;
      await sleep(PAUSE_MS * Math.random() * attempt);
    }
  }
}

/** Undefined when it worked; the refusal when role or password are not right; throws on anything else. */
async function tryLogin(runtimeUrl: string): Promise<pg.DatabaseError | undefined> {
  try {
    await withConnection(runtimeUrl, async (client) => {
      const { rows } = await client.query(
        'SELECT rolsuper OR rolbypassrls AS unsafe FROM pg_roles WHERE rolname = current_user',
      );
      if (rows[0]?.unsafe) {
        throw new Error(`the role ${RUNTIME_ROLE} is a superuser or has BYPASSRLS: it would see every tenant's rows`);
      }
    });
    return undefined;
  } catch (error) {
    if (error instanceof pg.DatabaseError && UNDEFINED_ROLE_OR_PASSWORD.has(error.code ?? '')) return error;
    // The server asks for a password and the URL has none.
    if (error instanceof Error && /password must be a/i.test(error.message)) return error as pg.DatabaseError;
    throw error;
  }
}

async function createOrAlter(ownerUrl: string, password: string): Promise<void> {
  const secret = password === '' ? 'NULL' : pg.escapeLiteral(scramVerifier(password));
  await withConnection(ownerUrl, async (client) => {
    const { rowCount } = await client.query('SELECT FROM pg_roles WHERE rolname = $1', [RUNTIME_ROLE]);
    await client.query(
      rowCount === 0
        ? `CREATE ROLE ${RUNTIME_ROLE} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOREPLICATION NOBYPASSRLS PASSWORD ${secret}`
        : `ALTER ROLE ${RUNTIME_ROLE} LOGIN PASSWORD ${secret}`,
    );
  });
}

/** What PostgreSQL stores of a password (RFC 5802, pg_authid.rolpassword), made here so that no server log shows the password. */
function scramVerifier(password: string): string {
  const salt = randomBytes(16);
  const salted = pbkdf2Sync(password, salt, SCRAM_ITERATIONS, 32, 'sha256');
  const hmac = (key: Buffer, text: string) => createHmac('sha256', key).update(text).digest();
  const storedKey = createHash('sha256').update(hmac(salted, 'Client Key')).digest();
  const serverKey = hmac(salted, 'Server Key');
  return `SCRAM-SHA-256$${SCRAM_ITERATIONS}:${salt.toString('base64')}$${storedKey.toString('base64')}:${serverKey.toString('base64')}`;
}

/** One connection for the time of `work`. */
export async function withConnection<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'counterfoil-migrate',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    query_timeout: STATEMENT_TIMEOUT_MS + 1_000,
  });
  // A connection that the server ends between two statements is told by the next one.
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
}
