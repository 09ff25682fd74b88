const SAME_KEYSTROKE_MS = 1_000;

/**
 * Calls `stop` once when this process is asked to end: by a signal, or because scripts/run.mjs, which started it, was
 * killed. A terminal and a launcher may both deliver one Ctrl-C, so what follows within a second is the same request; a
 * later one ends the process at once.
 * @param {() => void} stop
 */
export function onStopRequest(stop) {
  /** @type {number | undefined} */
  let askedAt;
  const ask = () => {
    const now = performance.now();
    if (askedAt === undefined) {
      askedAt = now;
      stop();
    } else if (now - askedAt > SAME_KEYSTROKE_MS) {
      process.exit(130);
    }
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, ask);
  if (process.channel) {
    process.once('disconnect', ask);
    // Listening alone would keep this process alive.
    process.channel.unref();
  }
}

/** Shows an error of ours as its sentence, others with their stack. @param {unknown} error @returns {never} */
export function exitWith(error) {
  const known = error instanceof Error && (error.name === 'ServicesError' || error.name === 'FolderInUseError');
  console.error(known ? `counterfoil: ${error.message}` : error);
  process.exit(1);
}
