import { PLAN_BY_KEYS } from '#platform/plan-by-keys.js';
import type { Database, Query, TransactionClient } from '#platform/postgres.js';

export interface Recorded {
  readonly query: Query;
  /** Whether its transaction had asked for plans by keys. */
  readonly isByKeys: boolean;
}

type Read = (scope: unknown, deadline: unknown, query: Query) => unknown;
type Work = (client: TransactionClient) => unknown;

/** The same database; what is asked of it is kept, each text once. */
export function recording(database: Database, recorded: Map<string, Recorded>): Database {
  const keep = (query: Query, isByKeys: boolean) => {
    if (!recorded.has(query.text)) recorded.set(query.text, { query, isByKeys });
  };
  const recordingOf = (client: TransactionClient): TransactionClient => {
    let isByKeys = false;
    return {
      query: (query) => {
        if (query.text === PLAN_BY_KEYS) isByKeys = true;
        else keep(query, isByKeys);
        return client.query(query);
      },
    };
  };
  const once = (read: Read): Read => {
    return (scope, deadline, query) => {
      keep(query, false);
      return read(scope, deadline, query);
    };
  };
  const methods: Record<string, unknown> = {
    read: once(database.read.bind(database) as Read),
    write: once(database.write.bind(database) as Read),
    transaction: (scope: never, deadline: never, work: Work) =>
      database.transaction(scope, deadline, async (client) => work(recordingOf(client))),
  };
  return new Proxy(database, { get: (target, name) => methods[name as string] ?? Reflect.get(target, name) });
}
