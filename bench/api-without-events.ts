/**
 * The API without the rows of the outbox, for the benchmark alone: the same commit groups, which tell nobody. The text of the
 * events is still made; what is left out is what PostgreSQL does for them. There is no such setting.
 */
import { GroupConnection } from '#ledger/writing/group-store.js';

const writeAndCommit = GroupConnection.prototype.writeAndCommit;
GroupConnection.prototype.writeAndCommit = function (this: GroupConnection, writes) {
  return writeAndCommit.call(this, { ...writes, events: [] });
};
await import('../apps/api/src/main.js');
