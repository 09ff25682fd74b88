const WIDTH = 30;
/** Without a terminal a line so often, and whenever the state changes. */
const LINE_EVERY_MS = 2_000;

/** @typedef {{ status: string, merchants: Record<string, number>, rate: number | null, eta: string | null, finished_at: string | null }} Run */

/** How far a run is: a bar that moves in a terminal, plain lines elsewhere. */
export class Progress {
  #out;
  #lastMs = Number.NEGATIVE_INFINITY;
  #lastStatus = '';
  #isOpen = false;

  /** @param {NodeJS.WriteStream} out */
  constructor(out) {
    this.#out = out;
  }

  /** @param {Run} run */
  show(run) {
    if (this.#out.isTTY) this.#draw(run);
    else if (run.status !== this.#lastStatus || performance.now() - this.#lastMs > LINE_EVERY_MS) this.#line(run);
  }

  /** @param {string} text */
  say(text) {
    if (this.#isOpen) this.#out.write('\n');
    this.#isOpen = false;
    this.#out.write(`${text}\n`);
  }

  /** @param {Run} run */
  #draw(run) {
    const filled = Math.round(share(run) * WIDTH);
    this.#out.write(`\r\x1b[2K[${'#'.repeat(filled)}${'.'.repeat(WIDTH - filled)}] ${described(run)}`);
    this.#isOpen = run.finished_at === null;
    if (!this.#isOpen) this.#out.write('\n');
  }

  /** @param {Run} run */
  #line(run) {
    this.#out.write(`${run.status}: ${described(run)}\n`);
    this.#lastMs = performance.now();
    this.#lastStatus = run.status;
  }
}

/** @param {Run} run */
function doneOf({ merchants: { settled = 0, empty = 0, not_due = 0, failed = 0 } }) {
  return settled + empty + not_due + failed;
}

/** @param {Run} run */
function share(run) {
  const { total = 0 } = run.merchants;
  return total === 0 ? 1 : doneOf(run) / total;
}

/** @param {Run} run */
function described(run) {
  const rate = run.rate === null ? '' : `, ${run.rate}/s`;
  const leftS = run.eta === null ? 0 : Math.max(0, Math.ceil((Date.parse(run.eta) - Date.now()) / 1_000));
  const eta = run.eta === null ? '' : `, ${leftS} s left`;
  return `${Math.floor(share(run) * 100)} %, ${doneOf(run)} of ${run.merchants.total} merchants${rate}${eta}`;
}
