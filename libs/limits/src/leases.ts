import type { Plan } from './plan.js';

/** What lease.lua is told: see there. */
export interface LeaseCall {
  readonly merchantId: bigint;
  readonly plan: Plan;
  readonly isPlanKnown: boolean;
  readonly spent: number;
  readonly given: number;
  readonly wanted: number;
  readonly shared: number;
  readonly told: number;
  readonly inFlight: number;
  readonly flightWanted: number;
  readonly supposed: number;
  readonly over: number;
  /** Whether nothing counts that is known there of the process: it has left the merchant, or has forgotten it. */
  readonly isFirst: boolean;
  /** Its part of what is left, as it supposes, and of how many processes. */
  readonly part: number;
  readonly processes: number;
  /** Whether the process is done with the merchant. */
  readonly leaves: boolean;
}

export interface LeaseReply {
  readonly given: number;
  readonly flight: number;
  readonly level: number;
  readonly processes: number;
  readonly told: number;
  readonly over: number;
  /** Whether what all had told is lost, and this is the process's part. */
  readonly isPart: boolean;
  /** By which it was reckoned. */
  readonly plan: Omit<Plan, 'weight'>;
}

/** How budgets are asked for: `LeaseClient`. */
export interface Leases {
  /** Whether nobody waits for an answer now. */
  readonly isAway: boolean;
  readonly mayAsk: boolean;
  /** May reject. */
  call(call: LeaseCall): Promise<LeaseReply>;
  close(): void;
}
