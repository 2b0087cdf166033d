/** docs/errors.md as a pure function of the packages' catalogues. */
export interface ErrorEntry {
  /** The package, without its scope. */
  readonly owner: string;
  readonly code: string;
  readonly message: string;
  readonly hint: string | undefined;
  readonly retryable: boolean;
}

const HEAD = `# Errors

Every failure that Canopy reports on purpose has a code. \`error.code\` is for programs, the message states the facts,
and the hint says what an operator can do; the command line prints all three, \`--output json\` gives them as fields.
*Again* says whether the same call may succeed later without anybody changing anything. Words in braces are filled in.
Codes are never renamed, and never used again once retired.

This file is made from the packages' \`errors.ts\` by \`node scripts/errors.ts\`; edit those.
`;

/** The document, by package and code. */
export function renderErrors(entries: readonly ErrorEntry[]): string {
  const packages = [...new Set(entries.map((entry) => entry.owner))].sort();
  const sections = packages.map((owner) =>
    section(
      owner,
      entries.filter((entry) => entry.owner === owner),
    ),
  );
  return [HEAD, ...sections].join('\n');
}

function section(owner: string, entries: readonly ErrorEntry[]): string {
  const rows = [...entries]
    .sort((a, b) => (a.code < b.code ? -1 : 1))
    .map(({ code, message, hint, retryable }) => {
      const cells = [`\`${code}\``, cell(message), cell(hint ?? ''), retryable ? 'yes' : 'no'];
      return `| ${cells.join(' | ')} |`;
    });
  return [`## ${owner}`, '', '| Code | Message | What to do | Again |', '|---|---|---|---|', ...rows, ''].join('\n');
}

function cell(text: string): string {
  return text.replace(/\s+/g, ' ').replaceAll('|', '\\|').replaceAll('<', '&lt;');
}
