export interface WriterOptions {
  /** Runtime role's URL; each lane keeps one connection of its own. */
  databaseUrl: string;
  /** Shared groups in flight at once. Measured: two beat one by a third, four are slower than two. */
  lanes: number;
  /** Groups of one merchant by itself in flight besides. */
  apartLanes: number;
  /** Requests that may wait for each shared lane, for their group or for their balances to be published; beyond it they are refused at once. */
  laneCapacity: number;
  /** Of one merchant, in all. */
  merchantCapacity: number;
  /** Commands in one group. More gains little throughput and costs latency. */
  groupSize: number;
  /** Tries of one group, the first included. */
  attempts: number;
  /** How long a shared group waits in all for merchants' locks that other processes hold. It goes on without those. */
  lockWaitMs: number;
  /** How long a merchant by itself waits for its lock before others have the lane. */
  apartLockWaitMs: number;
  /** Bounds one try of a group, server side and client side. */
  groupTimeoutMs: number;
  /** How long a second request with the same key waits for the first one. */
  idempotencyWaitMs: number;
  /** A merchant's share of the lanes among those that wait. */
  weightOf?: (merchantId: bigint) => number;
}
