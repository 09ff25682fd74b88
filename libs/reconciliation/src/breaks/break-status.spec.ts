import { describe, expect, it } from 'vitest';
import { BREAK_ACTIONS, BREAK_STATUSES, illegal, isLegal, unproposed } from './break-status.js';

const LEGAL = {
  open: ['assign', 'comment', 'propose'],
  assigned: ['assign', 'comment', 'propose'],
  proposed: ['assign', 'comment', 'approve', 'reject', 'withdraw'],
  resolved: ['comment'],
  auto_resolved: ['comment'],
  written_off: ['comment'],
} as const;

describe('what can be done about a break', () => {
  it.each(BREAK_STATUSES.flatMap((status) => BREAK_ACTIONS.map((action) => [status, action] as const)))(
    'that is %s: %s',
    (status, action) => {
      const may = (LEGAL[status] as readonly string[]).includes(action);
      expect(isLegal(action, status)).toBe(may);
      expect(illegal(action, status)?.code).toBe(may ? undefined : 'invalid_transition');
    },
  );

  it.each([
    ['approve', 'open', 'The break is open: it cannot be approved; it can be assigned, commented or given a proposal.'],
    [
      'propose',
      'proposed',
      'The break is proposed: it cannot be given a proposal; it can be assigned, commented, approved, rejected or withdrawn.',
    ],
    ['reject', 'written_off', 'The break is written_off: it cannot be rejected; it can be commented.'],
  ] as const)('is told to whoever would %s one that is %s', (action, status, detail) => {
    expect(illegal(action, status)?.detail).toBe(detail);
  });

  it('goes back to whoever it was assigned to', () => {
    expect([unproposed(null), unproposed('ada')]).toEqual(['open', 'assigned']);
  });
});
