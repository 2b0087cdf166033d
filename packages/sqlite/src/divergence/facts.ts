/** The files beside a kept database: what is known of it, and the rows that differ. Their names and shapes persist. */
export const SUMMARY_FILE = 'summary.json';
export const CHANGES_FILE = 'changes.jsonl';

/** What is known of it when it is kept: `summary.json` in its directory. A persisted format: fields are only added. */
export interface DivergenceFacts {
  /** Unix ms. */
  readonly keptAt: number;
  readonly node: string;
  /** `epoch.txid` up to which file and log were the same; undefined: unknown. */
  readonly fork?: string | undefined;
  /** `epoch.txid` of the log with which the rows were compared; undefined: they were not. */
  readonly comparedWith?: string | undefined;
  /** Rows that differ; undefined when they could not be compared. */
  readonly rows?: number | undefined;
  /** Those in which something differs. How many rows of which kind: not in summaries of earlier versions. */
  readonly tables?:
    | readonly {
        readonly table: string;
        readonly rows: number;
        readonly inserted?: number;
        readonly updated?: number;
        readonly deleted?: number;
        readonly problem?: string;
      }[]
    | undefined;
}
