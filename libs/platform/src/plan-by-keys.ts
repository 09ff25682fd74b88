/**
 * For the rest of a transaction: each row finds what it needs by its key; joins are hashed, and never row against row. So the plan is the
 * same whether the planner knows the tables or believes them empty. The sort of a chunk has room in memory.
 */
export const PLAN_BY_KEYS = `
SELECT set_config('enable_seqscan', 'off', true), set_config('enable_mergejoin', 'off', true), set_config('enable_nestloop', 'off', true),
       set_config('work_mem', '32MB', true)`;
