import { SaxesParser, type SaxesTagPlain } from 'saxes';
import type { ReadingLimits } from './limits.js';
import { unreadable } from './unreadable-report.js';

/** What is kept of an element: its own values by their paths below it, and elements below it that are records of their own. */
export interface RecordShape {
  /** `Refs/EndToEndId`; an attribute as `Amt@Ccy`. A path that is there several times: its values, with spaces between. */
  readonly values: readonly string[];
  readonly records: Readonly<Record<string, RecordShape>>;
}

/** Nothing that is kept is longer. */
const VALUE_CHARACTERS = 1_000;

export type Values = Readonly<Record<string, string | undefined>>;

/** `path`: of the record, from the root. Values are those that stand before; all of them at the end. */
interface RecordTaker {
  begin(path: string, values: Values): void;
  end(path: string, values: Values): void;
}

/** A place in the document that leads to what is kept. */
interface Place {
  readonly children: Map<string, Place>;
  /** Its text is kept under this name. */
  value: string | undefined;
  readonly attributes: Map<string, string>;
  /** It is a record. */
  record: string | undefined;
}

interface Open {
  readonly place: Place | undefined;
  readonly values: Record<string, string | undefined>;
}

/** XML that is not well-formed from some place on: what stood before it was read. */
export class NotWellFormed extends Error {}

/**
 * Reads records out of XML as it comes, and forgets what they do not keep. Prefixes of namespaces are left aside. Documents with a DTD
 * are refused, so that there are no entities but those of XML itself; so is what is nested too deep, and what goes on and on without
 * an element.
 */
export class XmlRecords {
  private readonly parser = new SaxesParser<{ xmlns: false; position: false }>({ xmlns: false, position: false });
  private readonly open: Open[] = [];
  private readonly root: Place;
  private text = '';
  private silence = 0;

  constructor(
    shape: RecordShape,
    private readonly taker: RecordTaker,
    private readonly limits: ReadingLimits,
    checkRoot: (tag: SaxesTagPlain) => void,
  ) {
    this.root = placeOf(shape, '');
    this.parser.on('error', (error) => {
      throw new NotWellFormed(error.message);
    });
    this.parser.on('doctype', () => {
      throw unreadable('has a document type declaration: reports have none, and entities of its own are not read');
    });
    this.parser.on('opentag', (tag) => {
      if (this.open.length === 0) checkRoot(tag);
      this.begin(tag);
    });
    this.parser.on('text', (text) => this.keep(text));
    this.parser.on('cdata', (text) => this.keep(text));
    this.parser.on('closetag', () => this.finish());
  }

  read(text: string): void {
    this.silence += text.length;
    this.parser.write(text);
    if (this.silence > this.limits.rowBytes * 2) {
      throw unreadable(`goes on for more than ${this.limits.rowBytes} bytes without an element`);
    }
  }

  end(): void {
    this.parser.close();
  }

  private begin({ name, attributes }: SaxesTagPlain): void {
    this.silence = 0;
    this.text = '';
    if (this.open.length >= this.limits.depth)
      throw unreadable(`has elements nested more than ${this.limits.depth} deep`);
    const outer = this.open.at(-1);
    const place = (outer ? outer.place : this.root)?.children.get(localName(name));
    const values = place?.record === undefined ? (outer?.values ?? {}) : {};
    if (place?.record !== undefined) this.taker.begin(place.record, outer?.values ?? {});
    for (const [attribute, key] of place?.attributes ?? []) values[key] = attributes[attribute];
    this.open.push({ place, values });
  }

  private keep(text: string): void {
    if (this.open.at(-1)?.place?.value !== undefined) this.text += text;
  }

  private finish(): void {
    this.silence = 0;
    const { place, values } = this.open.pop() as Open;
    if (place?.value !== undefined) {
      const before = values[place.value];
      const text = before === undefined ? this.text.trim() : `${before} ${this.text.trim()}`;
      values[place.value] = text.slice(0, VALUE_CHARACTERS);
    }
    if (place?.record !== undefined) this.taker.end(place.record, values);
    this.text = '';
  }
}

const localName = (name: string): string => name.slice(name.indexOf(':') + 1);

function placeOf({ values, records }: RecordShape, path: string): Place {
  const place = emptyPlace();
  for (const value of values) {
    const [elements = '', attribute] = value.split('@');
    const leaf = at(place, elements);
    if (attribute === undefined) leaf.value = value;
    else leaf.attributes.set(attribute, value);
  }
  for (const [name, shape] of Object.entries(records)) {
    const inner = placeOf(shape, `${path}/${name}`);
    inner.record = `${path}/${name}`;
    const [outer, last] = [name.split('/').slice(0, -1).join('/'), name.split('/').at(-1) ?? ''];
    at(place, outer).children.set(last, inner);
  }
  return place;
}

function at(place: Place, path: string): Place {
  let found = place;
  for (const name of path === '' ? [] : path.split('/')) {
    const next = found.children.get(name) ?? emptyPlace();
    found.children.set(name, next);
    found = next;
  }
  return found;
}

const emptyPlace = (): Place => ({ children: new Map(), value: undefined, attributes: new Map(), record: undefined });
