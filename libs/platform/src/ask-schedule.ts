import { list } from './config-fields.js';

/** When somebody outside is asked again about what is not known yet. */

const MAX_AGES = 50;
const MAX_AGE_S = 30 * 86_400;
const AGES = `must be up to ${MAX_AGES} whole numbers from 1 to ${MAX_AGE_S} that ascend, separated by commas`;

function isAge(age: string): boolean {
  return /^[1-9][0-9]{0,6}$/.test(age) && Number(age) <= MAX_AGE_S;
}

function doAscend(ages: readonly string[]): boolean {
  return ages.length <= MAX_AGES && ages.every((age, at) => at === 0 || Number(age) > Number(ages[at - 1]));
}

/** A setting: seconds after which to ask. */
export function askSchedule(fallback: string) {
  return list(isAge, AGES)
    .refine(doAscend, AGES)
    .transform((ages): readonly number[] => ages.map(Number))
    .prefault(fallback);
}

/** The first age of `scheduleMs` after `nowMs`; the last of them goes on as an interval. */
export function nextAskAt(scheduleMs: readonly number[], sinceMs: number, nowMs: number): number {
  const age = nowMs - sinceMs;
  const next = scheduleMs.find((at) => at > age);
  if (next !== undefined) return sinceMs + next;
  const interval = scheduleMs.at(-1) ?? Number.POSITIVE_INFINITY;
  return sinceMs + (Math.floor(age / interval) + 1) * interval;
}
