import { vi } from 'vitest';

/** Until `restore` each look at `performance.now` takes so long; nothing else does. */
export function slowClock(lookMs: number): { restore(): void } {
  let now = 0;
  const spy = vi.spyOn(performance, 'now').mockImplementation(() => {
    now += lookMs;
    return now;
  });
  return { restore: () => spy.mockRestore() };
}
