/** The API that charges nobody and refuses nobody, for the benchmark alone. There is no such setting. */
import { Limits } from '#limits/limits.js';

Limits.prototype.begin = () => undefined as never;
await import('../apps/api/src/main.js');
