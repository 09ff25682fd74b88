const FOR_EVER = Number.MAX_SAFE_INTEGER;

/** Of a job that is tried until it is done: whether it is PostgreSQL knows, and how often it may fail. */
export const UNTIRING_JOB = { attempts: FOR_EVER, backoff: { type: 'custom' }, removeOnComplete: true } as const;

/** The same of one job a thing: one that is kept would stand in the way of the next of its id. `traceContext`: of whoever asked for it. */
export function untiringJob(jobId: string, traceContext: string | undefined) {
  return { ...UNTIRING_JOB, jobId, removeOnFail: true, ...addedBy(traceContext) };
}

/** Of a job's options: whose span its own are below. */
export function addedBy(traceContext: string | undefined) {
  return traceContext === undefined ? {} : { telemetry: { metadata: traceContext } };
}

/** How BullMQ's workers are to treat such a job when it failed, or its worker has died: once what was away is back, none waits for longer. */
export function untiring({ firstMs, longestMs }: { firstMs: number; longestMs: number }) {
  return {
    settings: { backoffStrategy: (attempts: number) => Math.min(firstMs * 2 ** (attempts - 1), longestMs) },
    maxStalledCount: FOR_EVER,
  };
}
