import { Column, Entity, PrimaryColumn } from 'typeorm';
import { asBigint, asMs } from '#platform/columns.js';

@Entity({ name: 'operator_keys', synchronize: false })
export class OperatorKey {
  @PrimaryColumn({ type: 'bigint', transformer: asBigint })
  id: bigint;

  @Column({ name: 'created_at', type: 'timestamptz', transformer: asMs })
  createdAtMs: number;

  @Column({ type: 'text' })
  name: string;

  /** As far as it tells operators apart. */
  @Column({ type: 'text', nullable: true, select: false })
  identity: string | null;

  @Column({ name: 'secret_sha256', type: 'bytea', select: false })
  secretSha256: Buffer;

  @Column({ name: 'created_by', type: 'text' })
  createdBy: string;

  /** See `Operator`. */
  @Column({ type: 'text' })
  responsible: string;

  @Column({ name: 'revoked_at', type: 'timestamptz', nullable: true, transformer: asMs })
  revokedAtMs: number | null;

  @Column({ name: 'revoked_by', type: 'text', nullable: true })
  revokedBy: string | null;
}
