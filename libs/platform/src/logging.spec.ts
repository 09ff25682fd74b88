import { describe, expect, it } from 'vitest';
import { createLogger, NestLog } from './logging.js';

function linesOf(use: (logger: ReturnType<typeof createLogger>) => void) {
  const lines: string[] = [];
  use(createLogger({ level: 'info', service: 'test' }, { write: (line) => void lines.push(line) }));
  return lines.map((line) => JSON.parse(line));
}

describe('createLogger', () => {
  it('redacts secrets at whatever depth our objects have', () => {
    const text = JSON.stringify(
      linesOf((logger) =>
        logger.info(
          { authorization: 'Bearer cfm_1', req: { headers: { authorization: 'cfm_2' } }, key: { secret: 'cfm_3' } },
          'x',
        ),
      ),
    );
    expect(text).not.toContain('cfm_');
  });
});

describe('NestLog', () => {
  it('writes errors of Nest as lines of the log, and keeps its chatter out', () => {
    const lines = linesOf((logger) => {
      const log = new NestLog(logger);
      log.log('Mapped {/v1} route', 'RouterExplorer');
      log.error(new Error('broken'), 'Context');
    });
    expect(lines).toEqual([expect.objectContaining({ level: 'error', msg: 'broken', context: 'Context' })]);
  });
});
