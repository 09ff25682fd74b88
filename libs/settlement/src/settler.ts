import { setTimeout as sleep } from 'node:timers/promises';
import type { FeePlans } from '#fees/fee-plans.js';
import { type Clock, systemClock } from '#kernel/clock.js';
import { isPassing, ProblemError } from '#kernel/problem.js';
import type { SnowflakeGenerator } from '#kernel/snowflake.js';
import type { SystemAccounts } from '#ledger/accounts/find-system-accounts.js';
import type { Writer } from '#ledger/writing/writer.js';
import { type Deadline, deadlineExceeded } from '#platform/deadline.js';
import { Histogram } from '#platform/histogram.js';
import type { Database } from '#platform/postgres.js';
import { boundsIn, type RequestBounds } from '#platform/request-context.js';
import { inSpan, step } from '#platform/tracing.js';
import { begin } from './begin.js';
import { closeDay, currenciesWithFees } from './closing.js';
import { DaySpans } from './day-spans.js';
import { chunksOf, type DraftTerms, draftChunk, type OpenDraft, openDrafts, type Slice } from './drafts.js';
import { needsEarliest, nextStep, type Step } from './next-step.js';
import type { SettleResult } from './settle-result.js';
import { loadEarliest, loadStandings } from './standings.js';

export type { SettleResult } from './settle-result.js';

/** Merchants that are settled together: bounds statements, and how many wait for a commit group at once. */
const PAGE = 200;
/** Between two looks at what somebody else is at work on. */
const OTHERS_WORK_WAIT_MS = 25;
/** Their spans. */
const STEPS = { begin: 'begin days', draft: 'draft chunk', close: 'close days' } as const;

/** What a page of merchants has come to. */
interface Page {
  readonly businessDate: string;
  readonly bounds: RequestBounds;
  readonly results: Map<bigint, SettleResult>;
  readonly daySpans: DaySpans;
}

export interface SettlerParts {
  readonly database: Database;
  readonly writer: Writer;
  readonly ids: SnowflakeGenerator;
  readonly system: SystemAccounts;
  readonly plans: FeePlans;
  /** Entries that one transaction drafts at most. */
  readonly chunkEntries: number;
  /** Bounds each transaction. */
  readonly stepTimeoutMs: number;
}

/** Settles business days: of any number of merchants, again and again, in any number of processes at once. */
export class Settler {
  readonly #parts: SettlerParts;
  readonly #clock: Clock;
  /** Of a page's drafts to be written, of a chunk of entries, of a page's days. */
  readonly durations = { begin: new Histogram(), draft: new Histogram(), close: new Histogram() };

  constructor(parts: SettlerParts, clock: Clock = systemClock) {
    this.#parts = parts;
    this.#clock = clock;
  }

  /**
   * Settles the day of each merchant, and before it the days that were missed. One that cannot be settled fails alone. Throws when
   * the database is away or the deadline has passed: what was done by then stays, and the next try goes on from there.
   */
  async settle(merchantIds: readonly bigint[], businessDate: string, bounds: RequestBounds): Promise<SettleResult[]> {
    const all = [...new Set(merchantIds)];
    const results: SettleResult[] = [];
    const daySpans = new DaySpans(bounds.span);
    for (let from = 0; from < all.length; from += PAGE) {
      const page: Page = { businessDate, bounds, results: new Map(), daySpans };
      await this.#settlePage(all.slice(from, from + PAGE), page);
      results.push(...page.results.values());
    }
    return results;
  }

  /** In rounds, each merchant day after day: whoever has closed one begins the next, while others still draft theirs. */
  async #settlePage(merchantIds: readonly bigint[], page: Page): Promise<void> {
    for (let drafting: readonly Step[] = []; ; ) {
      const isDrafting = new Set(drafting.map(({ standing }) => standing.merchantId));
      const others = merchantIds.filter((id) => !page.results.has(id) && !isDrafting.has(id));
      const steps = await this.#stepsOf(others, page);
      if (steps.length + drafting.length === 0) return;
      const { rest, hasClosed } = await this.#draftAndClose([...drafting, ...(await this.#begin(steps, page))], page);
      if (!hasClosed && rest.length === 0) await this.#waitForOthers(page);
      drafting = rest;
    }
  }

  /** Whoever's drafts are whole is closed, and a part of each of the others' is drafted. Returns these, and whether any was closed. */
  async #draftAndClose(steps: readonly Step[], page: Page): Promise<{ rest: readonly Step[]; hasClosed: boolean }> {
    const ids = steps.map(({ standing }) => standing.merchantId);
    const open = await openDrafts(this.#parts.database, ids, this.#deadline(page));
    const isOpen = new Set(open.map(({ merchantId }) => merchantId));
    const [drafting, whole] = [true, false].map((is) =>
      steps.filter(({ standing }) => isOpen.has(standing.merchantId) === is),
    ) as [Step[], Step[]];
    const closed = whole.length > 0 ? await this.#step(page, 'close', (until) => this.#close(whole, page, until)) : [];
    const rest = drafting.length > 0 ? await this.#draft(drafting, open, page) : [];
    return { rest, hasClosed: closed.includes(true) };
  }

  async #stepsOf(merchantIds: readonly bigint[], page: Page): Promise<Step[]> {
    if (merchantIds.length === 0) return [];
    const { businessDate } = page;
    const standings = await loadStandings(this.#parts.database, merchantIds, businessDate, this.#deadline(page));
    const found = new Set(standings.map(({ merchantId }) => merchantId));
    for (const id of merchantIds) {
      if (!found.has(id)) fail(page, id, new ProblemError('not_found', 'There is no such merchant.'));
    }
    const unsure = standings.filter((standing) => needsEarliest(standing, businessDate));
    const earliest = await loadEarliest(this.#parts.database, unsure, this.#deadline(page));
    const when = { businessDate, nowMs: this.#clock.now() };
    return standings.flatMap((standing) => {
      const { merchantId } = standing;
      try {
        const step = nextStep(standing, earliest.get(merchantId), when);
        if ('day' in step) return [step];
        page.results.set(merchantId, step);
      } catch (error) {
        fail(page, merchantId, error);
      }
      return [];
    });
  }

  async #begin(steps: readonly Step[], page: Page): Promise<readonly Step[]> {
    if (steps.length === 0) return [];
    return this.#together(steps, page, (some) =>
      this.#step(page, 'begin', (until) => begin(this.#parts.database, this.#parts.ids, some, until)),
    );
  }

  /** The next part of each open draft of these merchants. Returns the steps that did not fail. */
  async #draft(steps: readonly Step[], open: readonly OpenDraft[], page: Page): Promise<readonly Step[]> {
    const stepOf = new Map(steps.map((step) => [step.standing.merchantId, step]));
    const termsOf = await this.#termsBehind(stepOf, page);
    let wentOn = 0;
    for (const slices of chunksOf(open, this.#parts.chunkEntries)) {
      const draft = async (some: readonly Slice[]) => {
        const { database } = this.#parts;
        wentOn += await this.#step(page, 'draft', (until) => draftChunk(database, some, termsOf, until));
      };
      await this.#together(slices, page, draft);
    }
    for (const id of page.results.keys()) if (stepOf.delete(id)) wentOn += 1;
    if (wentOn === 0) await this.#waitForOthers(page);
    return [...stepOf.values()];
  }

  /** Asked for once drafts are there, which keep what counts in their days from changing: it may be another day that somebody else began. */
  async #termsBehind(stepOf: ReadonlyMap<bigint, Step>, page: Page): Promise<(merchantId: bigint) => DraftTerms> {
    const plans = await this.#parts.plans.spansOf([...stepOf.keys()], this.#deadline(page));
    return (merchantId) => {
      const { calendar } = stepOf.get(merchantId) as Step;
      return { calendar, plans: plans.get(merchantId) ?? [] };
    };
  }

  /** Side by side, so that they fill commit groups. Returns of each whether it was closed by this. */
  async #close(steps: readonly Step[], page: Page, until: Deadline): Promise<boolean[]> {
    const ids = steps.map(({ standing }) => standing.merchantId);
    const currencies = await currenciesWithFees(this.#parts, ids, until);
    return Promise.all(
      steps.map(async (step, index) => {
        const merchantId = ids[index] as bigint;
        const span = page.daySpans.start(step);
        const context = { merchantId, ...boundsIn(span, this.#deadline(page)) };
        try {
          return await inSpan(span, () => closeDay(this.#parts, step, currencies.get(merchantId) ?? [], context));
        } catch (error) {
          if (!(error instanceof ProblemError && error.code === 'overloaded')) fail(page, merchantId, error);
          return false;
        }
      }),
    );
  }

  /** Does it for all at once and, where that fails, merchant by merchant. Returns those of the merchants who did not fail. */
  async #together<T extends Step | Slice>(
    all: readonly T[],
    page: Page,
    work: (some: readonly T[]) => Promise<unknown>,
  ): Promise<readonly T[]> {
    try {
      await work(all);
      return all;
    } catch (error) {
      throwIfPassing(error);
    }
    const merchants = Map.groupBy(all, merchantOf);
    for (const [merchantId, own] of merchants) {
      try {
        await work(own);
      } catch (error) {
        fail(page, merchantId, error);
      }
    }
    return all.filter((one) => !page.results.has(merchantOf(one)));
  }

  async #waitForOthers({ bounds }: Page): Promise<void> {
    if (bounds.deadline.expired) throw deadlineExceeded();
    await sleep(OTHERS_WORK_WAIT_MS);
  }

  /** Timed, and in a span of the range's. */
  #step<T>(page: Page, name: keyof typeof STEPS, work: (until: Deadline) => Promise<T>): Promise<T> {
    const traced = () => step(page.bounds.span, STEPS[name], {}, (span) => work(this.#deadline(page).under(span)));
    return this.durations[name].measure(traced);
  }

  #deadline({ bounds }: Page): Deadline {
    return bounds.deadline.within(this.#parts.stepTimeoutMs);
  }
}

function merchantOf(one: Step | Slice): bigint {
  return 'merchantId' in one ? one.merchantId : one.standing.merchantId;
}

/** What says nothing of the merchant is thrown. */
function fail({ results }: Page, merchantId: bigint, error: unknown): void {
  throwIfPassing(error);
  const [code, detail] =
    error instanceof ProblemError ? [error.code, error.message] : (['internal', String(error)] as const);
  results.set(merchantId, { merchantId, outcome: 'failed', problem: { code, detail } });
}

function throwIfPassing(error: unknown): void {
  if (isPassing(error) || (error instanceof ProblemError && error.code === 'deadline_exceeded')) throw error;
}
