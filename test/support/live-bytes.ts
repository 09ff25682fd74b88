import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Bytes in memory that somebody still refers to. What is being written to a socket Node counts as array buffers alone. */
export function liveBytes(): number {
  collect();
  // What the first one freed beside the heap is off the count once the second one begins.
  collect();
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return heapUsed + Math.max(external, arrayBuffers);
}
