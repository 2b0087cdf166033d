/**
 * Does the ledger at the end agree with what its clients were told? Pure: histories in, verdict out. Trusts nothing that
 * it can compute: balances are derived anew from openings and transfers.
 */
export interface TransferContent {
  readonly id: string;
  readonly from: string;
  readonly to: string;
  readonly amount: number;
}

export type FinalTransfer = TransferContent;

export interface FinalAccount {
  readonly id: string;
  readonly balance: number;
  readonly opening: number;
}

export interface LedgerHistory {
  /** Every transfer that a client saw acknowledged; repeats of one id count once. */
  readonly acknowledged: Iterable<TransferContent>;
  /** Every transfer in the ledger at the end. Ones that nobody saw acknowledged are fine. */
  readonly finalTransfers: readonly FinalTransfer[];
  readonly accounts: readonly FinalAccount[];
  /** The sum of balances before the first transfer. */
  readonly initialSum: number;
}

export interface LedgerVerdict {
  /** Acknowledged transfers that are not there, or are there with another content. */
  readonly lost: number;
  /** Rows beyond the first of an id, acknowledged or not. */
  readonly duplicated: number;
  /** Every balance follows from the transfers, none is below zero, and the sum is the initial one. */
  readonly invariant: boolean;
  /** A sentence per finding, at most DETAILS_MAX of them. */
  readonly details: readonly string[];
}

const DETAILS_MAX = 50;

export function checkLedger(history: LedgerHistory): LedgerVerdict {
  const details: string[] = [];
  const note = (text: string): void => {
    if (details.length < DETAILS_MAX) details.push(text);
  };
  const { stored, duplicated } = index(history.finalTransfers, note);
  const lost = countLost(history.acknowledged, stored, note);
  const balances = checkBalances(history, note);
  const money = checkMoney(history, note);
  return { lost, duplicated, invariant: balances && money, details };
}

type Note = (text: string) => void;

function index(
  transfers: readonly FinalTransfer[],
  note: Note,
): { stored: Map<string, FinalTransfer>; duplicated: number } {
  const stored = new Map<string, FinalTransfer>();
  let duplicated = 0;
  for (const transfer of transfers) {
    if (stored.has(transfer.id)) {
      duplicated += 1;
      note(`transfer ${transfer.id} is there more than once`);
    } else stored.set(transfer.id, transfer);
  }
  return { stored, duplicated };
}

function countLost(
  acknowledged: Iterable<TransferContent>,
  stored: ReadonlyMap<string, FinalTransfer>,
  note: Note,
): number {
  const lost = new Set<string>();
  for (const transfer of acknowledged) {
    const found = stored.get(transfer.id);
    if (found !== undefined && sameContent(found, transfer)) continue;
    if (!lost.has(transfer.id))
      note(
        found === undefined
          ? `transfer ${transfer.id} was acknowledged and is not there`
          : `transfer ${transfer.id} was acknowledged as ${show(transfer)} and is there as ${show(found)}`,
      );
    lost.add(transfer.id);
  }
  return lost.size;
}

/** Rows count as often as they are there: a duplicated posting shows in the balances, or is a duplicate row. */
function checkBalances(history: LedgerHistory, note: Note): boolean {
  const expected = new Map(history.accounts.map((account) => [account.id, account.opening]));
  let holds = expected.size === history.accounts.length;
  if (!holds) note('an account is there more than once');
  const post = (account: string, amount: number, transfer: string): void => {
    const before = expected.get(account);
    if (before === undefined) {
      note(`transfer ${transfer} names account ${account}, which is not there`);
      holds = false;
    } else expected.set(account, before + amount);
  };
  for (const { id, from, to, amount } of history.finalTransfers) {
    if (!(amount > 0)) {
      note(`transfer ${id} moves ${amount}`);
      holds = false;
    }
    post(from, -amount, id);
    post(to, amount, id);
  }
  for (const { id, balance } of history.accounts) {
    const due = expected.get(id);
    if (balance === due && balance >= 0) continue;
    note(`account ${id} has ${balance}; its transfers make it ${due}`);
    holds = false;
  }
  return holds;
}

function checkMoney(history: LedgerHistory, note: Note): boolean {
  const sum = history.accounts.reduce((total, account) => total + account.balance, 0);
  if (sum === history.initialSum) return true;
  note(`all balances together are ${sum}; they began as ${history.initialSum}`);
  return false;
}

function sameContent(a: TransferContent, b: TransferContent): boolean {
  return a.from === b.from && a.to === b.to && a.amount === b.amount;
}

function show({ from, to, amount }: TransferContent): string {
  return `${amount} from ${from} to ${to}`;
}
