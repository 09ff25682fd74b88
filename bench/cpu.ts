import { readdirSync, readFileSync } from 'node:fs';

/** Linux counts a process's CPU in ticks of 10 ms, whatever the kernel's own rate. */
const TICK_MS = 10;

interface Stat {
  parentPid: number;
  name: string;
  ownMs: number;
  /** Of children that have ended and been waited for. */
  childrenMs: number;
}

/** `/proc/<pid>/stat`; undefined where there is no such process, or no Linux. */
function statOf(pid: number | string): Stat | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const name = text.slice(text.indexOf('(') + 1, text.lastIndexOf(')'));
    // Counted from the state, which follows the name: ppid is field 4 of proc(5), utime 14, stime 15, cutime 16, cstime 17.
    const fields = text
      .slice(text.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number);
    const at = (field: number): number => fields[field - 3] ?? 0;
    return { parentPid: at(4), name, ownMs: (at(14) + at(15)) * TICK_MS, childrenMs: (at(16) + at(17)) * TICK_MS };
  } catch {
    return undefined;
  }
}

/** CPU milliseconds of one process so far. */
export function cpuOfMs(pid: number): number | undefined {
  return statOf(pid)?.ownMs;
}

/** Bytes that a process had in memory at its worst. */
export function peakMemoryOf(pid: number): number | undefined {
  try {
    const kilobytes = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1_024;
  } catch {
    return undefined;
  }
}

/** CPU milliseconds of a PostgreSQL server so far: the postmaster, its living children, and those that ended. */
export function cpuOfServerMs(postmasterPid: number): number | undefined {
  const postmaster = statOf(postmasterPid);
  if (!postmaster) return undefined;
  let sum = postmaster.ownMs + postmaster.childrenMs;
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = statOf(entry);
    if (stat?.parentPid === postmasterPid) sum += stat.ownMs;
  }
  return sum;
}

/** Living processes that this one has started. */
export function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry) && statOf(entry)?.parentPid === pid)
    .map(Number);
}

/** The postmaster above a backend, where the server runs on this machine. */
export function postmasterOf(backendPid: number): number | undefined {
  const backend = statOf(backendPid);
  return backend?.name === 'postgres' ? backend.parentPid : undefined;
}
