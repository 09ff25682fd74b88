import type { LeaseCall, LeaseReply } from './leases.js';
import { isSamePlan, type Plan, type RefusedBy } from './plan.js';
import { policyOf } from './rate-limit-headers.js';

/** A process has at least this part of a burst in hand, and at most that one; and room for this part of what may be in flight. */
const LEAST_PART = 128;
const MOST_PART = 4;
const FLIGHT_PART = 16;
/** A merchant that nothing is known of yet has its first request served before Redis is asked, if it costs no more. */
const CREDIT_UNITS = 64;
/** How long a process that was given less than it wanted does not ask again. */
const DRY_MS = 10;
/** How often it is asked for a merchant that goes on asking although there should be nothing left. */
const LOOK_MS = 200;

/** What was taken for a request, to be settled later. */
export interface Taken {
  units: number;
  readonly flight: number;
  /** Whether it was spent on the process's share, while Redis could not be asked. */
  readonly isShare: boolean;
}

/** A bucket of the process's own while Redis cannot be asked. */
interface Share {
  level: number;
  atMs: number;
}

/**
 * What a process knows of a merchant's budget. Units in hand are spent without asking; counts are absolute (lease.lua), so that a
 * call whose answer is lost loses nothing. All times are of one monotonic clock.
 */
export class Budget {
  #plan: Plan;
  #policy: string;
  #isPlanKnown = false;
  /** When its plan was looked up. */
  #planAtMs = -Infinity;
  /** The one call under way. */
  asking: Promise<void> | undefined;
  lastAnswerMs: number;
  usedMs: number;
  readonly #leaseMs: number;
  #given = 0;
  #spent = 0;
  #shared = 0;
  #told = 0;
  /** Units that the bucket had no room for, as Redis counts them. */
  #over = 0;
  #share: Share | undefined;
  #inFlight = 0;
  #flightGranted = 0;
  #level: number;
  #processes: number;
  /** Whether the level is that of this process alone: Redis has lost what others had told it. */
  #isPart = false;
  #isAsked = false;
  #askedPlan: Plan | undefined;
  /** Units that it tries to have in hand. */
  #size = 0;
  #spentBefore = 0;
  #askAgainMs = 0;
  /** Of those who wait for units. */
  #awaited = 0;

  constructor(
    readonly merchantId: bigint,
    parts: { plan: Plan; nowMs: number; leaseMs: number; processes: number },
  ) {
    this.#plan = parts.plan;
    this.#policy = policyOf(parts.plan);
    this.#leaseMs = parts.leaseMs;
    this.#level = parts.plan.burstUnits;
    this.#processes = parts.processes;
    this.lastAnswerMs = parts.nowMs;
    this.usedMs = parts.nowMs;
  }

  get plan(): Plan {
    return this.#plan;
  }

  /** As `RateLimit-Policy` tells it. */
  get policy(): string {
    return this.#policy;
  }

  get planAtMs(): number {
    return this.#planAtMs;
  }

  get inHand(): number {
    return this.#given - this.#spent;
  }

  get isPart(): boolean {
    return this.#isPart;
  }

  /** Units that were spent on its share in all. */
  get shared(): number {
    return this.#shared;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** What was found to be its plan at that time. Returns whether that is news. */
  know(plan: Plan, atMs: number): boolean {
    // Looked up before it was changed here.
    if (atMs < this.#planAtMs) return false;
    const isNews = !isSamePlan(plan, this.#plan);
    this.#planAtMs = atMs;
    this.#isPlanKnown = true;
    if (isNews) this.#usePlan(plan);
    return isNews;
  }

  /** Takes what a request is estimated at, or tells what there is too little of. `isAway`: Redis cannot be asked. */
  take(units: number, nowMs: number, isAway: boolean): Taken | RefusedBy {
    this.usedMs = nowMs;
    const flight = Math.min(units, half(this.#plan.unitsInFlight));
    if (isAway) return this.#takeShare(units, flight, nowMs);
    const isCredit = !this.#isAsked && this.#spent === 0 && units <= CREDIT_UNITS;
    if (!isCredit) {
      if (this.inHand < Math.min(units, half(this.#plan.burstUnits))) return 'units';
      if (this.#inFlight + flight > this.#flightGranted) return 'in_flight';
    }
    this.#spent += units;
    this.#inFlight += flight;
    return { units, flight, isShare: false };
  }

  /** Charges what it came to so far in place of what was taken. May leave a debt. */
  settle(taken: Taken, units: number): void {
    if (taken.isShare) this.#shared += units - taken.units;
    else this.#spent += units - taken.units;
    if (taken.isShare && this.#share) this.#share.level -= units - taken.units;
    taken.units = units;
  }

  land(flight: number): void {
    this.#inFlight -= flight;
  }

  /** Whether there will soon be too little in hand, or too little room. */
  wantsMore(nowMs: number): boolean {
    if (nowMs < this.#askAgainMs) return false;
    if (this.inHand * 2 < this.#size || !this.#isAsked) return true;
    return this.#inFlight * 2 > this.#flightGranted && this.#flightGranted < this.#plan.unitsInFlight;
  }

  /** Whether Redis may have what a request lacks: by what is known of the level, or because others may have given back since. */
  mayBeGiven(units: number, lacking: RefusedBy, nowMs: number): boolean {
    if (!this.#isAsked) return true;
    if (nowMs < this.#askAgainMs) return false;
    if (lacking === 'in_flight') return this.#flightGranted < this.#plan.unitsInFlight;
    return this.waitMs(units, nowMs) === 0 || nowMs - this.lastAnswerMs >= LOOK_MS;
  }

  /** Until so many units can be there, at the earliest. */
  waitMs(units: number, nowMs: number): number {
    const missing = Math.min(units, half(this.#plan.burstUnits)) - this.available(nowMs);
    return missing <= 0 ? 0 : (missing * 1_000) / this.#plan.unitsPerSecond;
  }

  /** Units that the merchant has left, as far as is known here. */
  available(nowMs: number): number {
    if (this.#share) return this.#shareLevel(this.#share, nowMs);
    return Math.min(this.#plan.burstUnits, this.#levelAt(nowMs) + this.inHand);
  }

  /** A request waits for so many; call back when it does so no more. */
  await(units: number): () => void {
    this.#awaited += units;
    return () => {
      this.#awaited -= units;
    };
  }

  /** What Redis is to be told and asked. Never more in hand or in the air than that, whatever comes of the call. */
  ask(nowMs: number, leaves: boolean): LeaseCall {
    const sinceMs = Math.max(1, nowMs - this.lastAnswerMs);
    const lately = ((this.#spent - this.#spentBefore) * this.#leaseMs) / sinceMs;
    const { burstUnits, unitsInFlight } = this.#plan;
    const least = Math.max(1, Math.floor(burstUnits / LEAST_PART));
    this.#size = Math.max(least, Math.min(Math.round(lately), Math.floor(burstUnits / MOST_PART)));
    const awaited = Math.min(this.#awaited, burstUnits);
    // What was taken by another plan goes back first; a plan that is only supposed may be far too large.
    const isFirst = !this.#isAsked;
    const inAdvance = this.#plan === this.#askedPlan ? this.#size : isFirst ? Math.min(this.#size, CREDIT_UNITS) : 0;
    this.#askedPlan = this.#plan;
    const wanted = leaves ? 0 : inAdvance + awaited;
    // A burst bounds what is spent at once, not what is in flight.
    const room = Math.max(this.#inFlight * 2, this.#inFlight + this.#awaited, Math.ceil(unitsInFlight / FLIGHT_PART));
    const flightWanted = leaves ? 0 : Math.min(room, unitsInFlight);
    this.#given = Math.min(this.#given, this.#spent + wanted);
    this.#flightGranted = Math.min(this.#flightGranted, flightWanted);
    this.#spentBefore = this.#spent;
    return {
      merchantId: this.merchantId,
      plan: this.#plan,
      isPlanKnown: this.#isPlanKnown,
      spent: this.#spent,
      given: this.#given,
      wanted,
      shared: this.#shared,
      told: this.#told,
      inFlight: this.#inFlight,
      flightWanted,
      supposed: Math.floor(this.#refilled(nowMs)),
      over: this.#over,
      isFirst,
      part: Math.floor(this.#partAt(nowMs)),
      processes: this.#processes,
      leaves,
    };
  }

  answered(
    { given, flight, level, processes, told, over, isPart, plan }: LeaseReply,
    asked: LeaseCall,
    nowMs: number,
  ): void {
    this.#isAsked = true;
    this.#share = undefined;
    this.#given = given;
    this.#flightGranted = flight;
    this.#level = level;
    this.#processes = processes;
    this.#isPart = isPart;
    this.#told = told;
    this.#over = over;
    this.lastAnswerMs = nowMs;
    const isDry = given - asked.spent < asked.wanted || flight < asked.flightWanted;
    this.#askAgainMs = isDry ? nowMs + DRY_MS : 0;
    // Another process has found it out before.
    if (!this.#isPlanKnown) this.#usePlan({ ...plan, weight: this.#plan.weight });
    if (asked.plan !== this.#plan) this.#layDown();
  }

  #usePlan(plan: Plan): void {
    if (isSamePlan(plan, this.#plan)) return;
    this.#plan = plan;
    this.#policy = policyOf(plan);
    this.#layDown();
  }

  /** What was taken by another plan is no lease by this one: it is given back with the next call, which may be now. */
  #layDown(): void {
    this.#level += Math.max(0, this.inHand);
    this.#given = Math.min(this.#given, this.#spent);
    this.#flightGranted = Math.min(this.#flightGranted, this.#plan.unitsInFlight);
    this.#level = Math.min(this.#level, this.#plan.burstUnits);
    this.#askAgainMs = 0;
  }

  #levelAt(nowMs: number): number {
    return Math.min(this.#plan.burstUnits, this.#refilled(nowMs));
  }

  /** The level if there were room for all. */
  #refilled(nowMs: number): number {
    return this.#level + ((nowMs - this.lastAnswerMs) * this.#plan.unitsPerSecond) / 1_000;
  }

  /** What of it is this process's where each has to go on by itself. */
  #partAt(nowMs: number): number {
    const refill = this.#refilled(nowMs) - this.#level;
    const level = this.#isPart ? this.#level : this.#level / this.#processes;
    return Math.min(this.#shareBurst, level + refill / this.#processes);
  }

  #takeShare(units: number, flight: number, nowMs: number): Taken | RefusedBy {
    const room = Math.max(this.#flightGranted, Math.ceil(this.#plan.unitsInFlight / this.#processes));
    if (this.#inFlight > 0 && this.#inFlight + flight > room) return 'in_flight';
    const isShare = this.inHand < units;
    if (isShare) {
      this.#share ??= { level: this.#levelAt(nowMs) / this.#processes, atMs: nowMs };
      this.#share = { level: this.#shareLevel(this.#share, nowMs), atMs: nowMs };
      if (this.#share.level < Math.min(units, half(this.#shareBurst))) return 'units';
      this.#share.level -= units;
      this.#shared += units;
    } else {
      this.#spent += units;
    }
    this.#inFlight += flight;
    return { units, flight, isShare };
  }

  get #shareBurst(): number {
    return Math.max(1, Math.floor(this.#plan.burstUnits / this.#processes));
  }

  #shareLevel({ level, atMs }: Share, nowMs: number): number {
    const refill = ((nowMs - atMs) * this.#plan.unitsPerSecond) / this.#processes / 1_000;
    return Math.min(this.#shareBurst, level + refill);
  }
}

/**
 * The most that a request needs of a limit before it is served, however large: what it costs more is a debt. All of it would never be
 * there while others have some in hand, and one large batch would have its merchant's other requests refused.
 */
function half(limit: number): number {
  return Math.ceil(limit / 2);
}
