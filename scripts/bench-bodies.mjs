// npm run bench:bodies: what a byte of a request body costs, whatever the bytes are. Needs no servers.
import { runCompiled } from './compile.mjs';

await runCompiled('bench/bodies.js');
