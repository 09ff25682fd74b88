import { Column, Entity, PrimaryColumn } from 'typeorm';
import { asBigint, asMs } from '#platform/columns.js';

/** What a provider signs with. Write-only: nothing shows the key again. */
@Entity({ name: 'provider_secrets', synchronize: false })
export class ProviderSecret {
  @PrimaryColumn({ name: 'merchant_id', type: 'bigint', transformer: asBigint })
  merchantId: bigint;

  @PrimaryColumn({ type: 'text' })
  provider: string;

  @PrimaryColumn({ type: 'bigint', transformer: asBigint })
  id: bigint;

  @Column({ type: 'bytea' })
  key: Buffer;

  /** Null: the current one. */
  @Column({ name: 'expires_at', type: 'timestamptz', nullable: true, transformer: asMs })
  expiresAtMs: number | null;

  @Column({ name: 'created_at', type: 'timestamptz', transformer: asMs })
  createdAtMs: number;
}
