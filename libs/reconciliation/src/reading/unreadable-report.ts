import { type FieldError, ProblemError } from '#kernel/problem.js';

/** What was sent is no report of its source: nothing of it is kept. Names everything that is missing. */
export class UnreadableReport extends ProblemError {
  constructor(errors: readonly FieldError[]) {
    const detail = errors.map(({ path, message }) => `${path}: ${message}`).join('; ');
    super('validation_failed', detail, { errors: [...errors] });
    this.name = 'UnreadableReport';
  }
}

/** Where the fault is the file as such. */
export function unreadable(message: string): UnreadableReport {
  return new UnreadableReport([{ path: 'report', message }]);
}
