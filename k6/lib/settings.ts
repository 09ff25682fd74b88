/** What a run is told by its environment; `npm run k6` fills in what it knows from a running `npm start`. */
export const URL = setting('COUNTERFOIL_URL');
export const OPERATOR_KEY = setting('COUNTERFOIL_OPERATOR_KEY');
/** Where notes can be read again: scripts/load/journal.mjs. */
export const JOURNAL = setting('COUNTERFOIL_JOURNAL');
/** Everything is there, in seconds. */
export const IS_SMOKE = __ENV.SMOKE === '1';

export function setting(name: string): string {
  const value = __ENV[name];
  if (!value) throw new Error(`${name} is not set: run this with \`npm run k6\``);
  return value;
}

export function numberOf(name: string, usual: number, smoke = usual): number {
  const value = Number(__ENV[name] || (IS_SMOKE ? smoke : usual));
  if (!Number.isFinite(value) || value < 0) throw new Error(`${name} is no number: ${__ENV[name]}`);
  return value;
}

export function durationOf(usual: string, smoke: string): number {
  return secondsOf(__ENV.DURATION || (IS_SMOKE ? smoke : usual));
}

/** Of a setting such as 30s, 5m or 1h. */
export function secondsOf(duration: string): number {
  const [, count, unit] = /^(\d+)(s|m|h)$/.exec(duration) ?? [];
  if (count === undefined) throw new Error('a duration is a number of seconds, minutes or hours: 30s, 5m, 1h');
  return Number(count) * ({ s: 1, m: 60, h: 3_600 }[unit ?? 's'] ?? 1);
}
