/** $1 merchant. Whoever matches rows of a merchant waits for those who do; to be taken after the merchant's lock, where both are. */
export const TAKE_TURN = {
  name: 'take-reconciliation-turn',
  text: `INSERT INTO reconciliation_turns (merchant_id) VALUES ($1)
         ON CONFLICT (merchant_id) DO UPDATE SET merchant_id = excluded.merchant_id`,
};
