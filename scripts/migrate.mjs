// npm run migrate [-- --check]: see db/migrate-cli.ts.
import { compile, compiled, runToEnd } from './compiled.mjs';

compile();
runToEnd(['--enable-source-maps', compiled('db/migrate-cli.js'), ...process.argv.slice(2)]);
