/** Topics of a log: name tokens joined by `.`, and filters over them as NATS has them. */

/** `*` stands for one token, `>` at the end for one or more. No filter: everything. */
export function matchesTopic(filter: string | undefined, topic: string): boolean {
  if (filter === undefined || filter === topic) return true;
  const wanted = filter.split('.');
  const tokens = topic.split('.');
  const open = wanted.at(-1) === '>';
  if (open ? tokens.length < wanted.length || topic === '' : tokens.length !== wanted.length) return false;
  const exact = open ? wanted.slice(0, -1) : wanted;
  return exact.every((token, index) => token === '*' || token === tokens[index]);
}
