/** Something the user can act on: its message is shown alone, without a stack. */
export class ServicesError extends Error {
  /** @override */
  name = 'ServicesError';
}
