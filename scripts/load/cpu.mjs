import { readdirSync, readFileSync } from 'node:fs';
import { look } from '../services/processes.mjs';

/** Linux counts a process's CPU in ticks of 10 ms, whatever the kernel's own rate. */
const TICK_MS = 10;
/** Of /proc/<pid>/stat (proc(5)), counted from the state, which follows the name. */
const UTIME = 11;
const STIME = 12;

/** @param {number | string} pid @returns {number} milliseconds of CPU so far; NaN: no such process, or no Linux */
export function cpuOfMs(pid) {
  const stat = look(() => readFileSync(`/proc/${pid}/stat`, 'utf8'));
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields?.[UTIME]) + Number(fields?.[STIME])) * TICK_MS;
}

/** Milliseconds of CPU that all processes of the machine have taken; of one that ends, until it was last looked at. */
export class MachineCpu {
  /** @type {Map<string, number>} */
  #seen = new Map();
  #ended = 0;

  takenMs() {
    const pids = (look(() => readdirSync('/proc')) ?? []).filter((name) => /^\d+$/.test(name));
    const now = new Map(pids.map((pid) => [pid, cpuOfMs(pid) || 0]));
    for (const [pid, ms] of this.#seen) if ((now.get(pid) ?? 0) < ms) this.#ended += ms;
    this.#seen = now;
    return [...now.values()].reduce((sum, ms) => sum + ms, this.#ended);
  }
}
