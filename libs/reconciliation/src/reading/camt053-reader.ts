import type { TextDecoder } from 'node:util';
import type { SaxesTagPlain } from 'saxes';
import { CAMT053 } from './camt053-shape.js';
import { Camt053Statements } from './camt053-statements.js';
import type { ReadingLimits } from './limits.js';
import type { ReportBatch, ReportReader } from './report-batch.js';
import { unreadable } from './unreadable-report.js';
import { xmlDecoder } from './xml-encoding.js';
import { NotWellFormed, XmlRecords } from './xml-records.js';

const NAMESPACE = /^urn:iso:std:iso:20022:tech:xsd:camt\.053\.001\.\d\d$/;

/** Reads bank statements (ISO 20022 camt.053.001.02 and later), a row for each transaction. */
export class Camt053Reader implements ReportReader {
  private readonly statements: Camt053Statements;
  private readonly records: XmlRecords;
  private decoder: TextDecoder | undefined;
  private hasBegun = false;
  private isOver = false;

  constructor(limits: ReadingLimits) {
    this.statements = new Camt053Statements(limits);
    this.records = new XmlRecords(CAMT053, this.statements, limits, (tag) => this.checkRoot(tag));
  }

  read(piece: Buffer): ReportBatch {
    this.decoder ??= xmlDecoder(piece);
    const text = this.decoder.decode(piece, { stream: true });
    this.unlessOver(() => this.records.read(text));
    return this.statements.taken();
  }

  end(): ReportBatch {
    this.unlessOver(() => this.records.end());
    if (!this.hasBegun) throw unreadable('is no XML');
    return this.statements.taken();
  }

  /** From where it is not well-formed on, nothing can be read. */
  private unlessOver(read: () => void): void {
    if (this.isOver) return;
    try {
      read();
    } catch (error) {
      if (!(error instanceof NotWellFormed)) throw error;
      if (!this.hasBegun) throw unreadable(`is no XML: ${error.message}`);
      this.isOver = true;
      this.statements.refuse(`the file cannot be read from here on: ${error.message}`, {});
    }
  }

  private checkRoot({ name, attributes }: SaxesTagPlain): void {
    this.hasBegun = true;
    const [local = '', prefix] = name.split(':').reverse();
    const namespace = attributes[prefix === undefined ? 'xmlns' : `xmlns:${prefix}`] ?? '';
    if (local === 'Document' && NAMESPACE.test(namespace)) return;
    const found = `<${name.slice(0, 100)}> of ${JSON.stringify(namespace.slice(0, 100))}`;
    throw unreadable(
      `begins with ${found}: <Document> of urn:iso:std:iso:20022:tech:xsd:camt.053.001.02 or later was expected`,
    );
  }
}
