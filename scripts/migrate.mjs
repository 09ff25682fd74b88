// npm run migrate [-- --check]: see db/migrate-cli.ts.
import { runCompiled } from './compile.mjs';
import { useRunningDatabase } from './services/running.mjs';

// The runtime role of DATABASE_RUNTIME_URL may not migrate.
useRunningDatabase(['DATABASE_URL']);
await runCompiled('db/migrate-cli.js');
