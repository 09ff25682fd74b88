import { afterEach } from 'vitest';

// Of every file: vitest runs this before each of them.
afterEach(({ task }) => {
  if (task.result?.state === 'fail')
    process.stdout.write(`${task.name}: failed with TEST_SEED=${process.env.TEST_SEED}\n`);
});
