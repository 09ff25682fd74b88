import { Column, Entity, PrimaryColumn } from 'typeorm';
import { snowflakeTimeMs } from '#kernel/snowflake.js';
import { asBigint, asMs } from '#platform/columns.js';
import { hintOf, sha256 } from './api-key.js';

@Entity({ name: 'merchants', synchronize: false })
export class Merchant {
  @PrimaryColumn({ type: 'bigint', transformer: asBigint })
  id: bigint;

  @Column({ type: 'text' })
  name: string;

  /** IANA name: the zone that it was opened in; later ones are in merchant_time_zones. */
  @Column({ name: 'time_zone', type: 'text' })
  timeZone: string;

  /** `HH:MM:SS`. */
  @Column({ name: 'settlement_cutoff', type: 'time' })
  settlementCutoff: string;

  @Column({ type: 'text', array: true })
  currencies: string[];

  @Column({ name: 'created_at', type: 'timestamptz', transformer: asMs })
  createdAtMs: number;
}

@Entity({ name: 'api_keys', synchronize: false })
export class ApiKey {
  @PrimaryColumn({ name: 'merchant_id', type: 'bigint', transformer: asBigint })
  merchantId: bigint;

  @PrimaryColumn({ type: 'bigint', transformer: asBigint })
  id: bigint;

  @Column({ name: 'secret_sha256', type: 'bytea', select: false })
  secretSha256: Buffer;

  /** What may be shown of the key. */
  @Column({ type: 'text' })
  hint: string;

  @Column({ name: 'created_at', type: 'timestamptz', transformer: asMs })
  createdAtMs: number;

  @Column({ name: 'revoked_at', type: 'timestamptz', nullable: true, transformer: asMs })
  revokedAtMs: number | null;
}

export function newApiKey(merchantId: bigint, id: bigint, secret: string): ApiKey {
  const createdAtMs = snowflakeTimeMs(id);
  return { merchantId, id, secretSha256: sha256(secret), hint: hintOf(secret), createdAtMs, revokedAtMs: null };
}
