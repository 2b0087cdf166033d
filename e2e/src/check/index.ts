/** Pure checkers over histories. Each has tests with histories that it must reject. */
export {
  checkLedger,
  type FinalAccount,
  type FinalTransfer,
  type LedgerHistory,
  type LedgerVerdict,
  type TransferContent,
} from './ledger.ts';
export {
  type Commit,
  checkWriters,
  type LeaseInterval,
  type Wake,
  type WritersHistory,
  type WritersVerdict,
} from './writers.ts';
