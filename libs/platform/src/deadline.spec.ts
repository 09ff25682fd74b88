import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Clock } from '#kernel/clock.js';
import { Deadline, deadlineExceeded } from './deadline.js';

class ManualClock implements Clock {
  constructor(public monotonicMs = 1_000) {}
  now = (): number => 0;
  monotonic = (): number => this.monotonicMs;
}

describe('a deadline', () => {
  it('counts down by the monotonic clock and stops at zero', () => {
    const clock = new ManualClock();
    const deadline = Deadline.after(100, clock);
    expect(deadline.remainingMs).toBe(100);
    clock.monotonicMs += 99.5;
    expect(deadline.remainingMs).toBe(0.5);
    expect(deadline.expired).toBe(false);
    clock.monotonicMs += 0.5;
    expect(deadline.expired).toBe(true);
    clock.monotonicMs += 1_000;
    expect(deadline.remainingMs).toBe(0);
  });

  it('of no time has expired', () => {
    expect(Deadline.after(0, new ManualClock()).expired).toBe(true);
  });

  it('can be drawn in but not put off', () => {
    const clock = new ManualClock();
    const deadline = Deadline.after(100, clock);
    clock.monotonicMs += 40;
    expect(deadline.within(20).remainingMs).toBe(20);
    expect(deadline.within(1_000).remainingMs).toBe(60);
    expect(deadline.remainingMs).toBe(60);
  });
});

describe('a race against the deadline', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const never = (): Promise<never> => new Promise(() => undefined);

  it('answers as the work does and leaves no timer behind', async () => {
    const deadline = Deadline.after(100, new ManualClock());
    await expect(deadline.race(Promise.resolve('done'))).resolves.toBe('done');
    await expect(deadline.race(Promise.reject(new Error('failed')))).rejects.toThrow('failed');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('lost answers deadline_exceeded, or what the caller says', async () => {
    const deadline = Deadline.after(100, new ManualClock());
    const plain = expect(deadline.race(never())).rejects.toMatchObject({ code: 'deadline_exceeded', retryAfterS: 1 });
    const own = expect(deadline.race(never(), () => new Error('too late'))).rejects.toThrow('too late');
    await vi.advanceTimersByTimeAsync(100);
    await plain;
    await own;
  });

  it('is not lost before the deadline has expired, though timers count whole milliseconds', async () => {
    const clock = new ManualClock();
    const deadline = Deadline.after(10.7, clock);
    let lost = false;
    const race = deadline.race(never()).catch(() => {
      lost = true;
    });
    clock.monotonicMs += 10;
    await vi.advanceTimersByTimeAsync(10);
    expect(deadline.expired).toBe(false);
    expect(lost).toBe(false);
    clock.monotonicMs += 1;
    await vi.advanceTimersByTimeAsync(1);
    await race;
    expect(lost).toBe(true);
  });

  it('a failure of the work after the deadline disturbs nobody', async () => {
    let fail: (error: Error) => void = () => undefined;
    const work = new Promise<never>((_resolve, reject) => {
      fail = reject;
    });
    const race = expect(Deadline.after(5, new ManualClock()).race(work)).rejects.toMatchObject(deadlineExceeded());
    await vi.advanceTimersByTimeAsync(5);
    await race;
    // Vitest fails the run on an unhandled rejection.
    fail(new Error('late'));
    await vi.advanceTimersByTimeAsync(1);
  });

  it('with a deadline beyond what timers can hold is not lost at once', async () => {
    let lost = false;
    void Deadline.after(Number.MAX_SAFE_INTEGER, new ManualClock())
      .race(never())
      .catch(() => {
        lost = true;
      });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(lost).toBe(false);
  });
});
