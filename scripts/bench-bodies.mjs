// npm run bench:bodies: what a byte of a request body costs, whatever the bytes are. Needs no servers.
import { pathToFileURL } from 'node:url';
import { compile, compiled } from './compile.mjs';

compile();
await import(pathToFileURL(compiled('bench/bodies.js')).href);
