import { Column, Entity, PrimaryColumn } from 'typeorm';

const asBigint = { to: (value: bigint | undefined) => value?.toString(), from: (value: string) => BigInt(value) };

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

  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt: Date;
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

  @Column({ name: 'created_at', type: 'timestamptz' })
  createdAt: Date;

  @Column({ name: 'revoked_at', type: 'timestamptz', nullable: true })
  revokedAt: Date | null;
}
