/** Topics of a log: name tokens joined by `.`, and filters over them as NATS has them. */
import { optionsInvalid } from '@canopy/core';
import { invalid } from './event-json.ts';

const TOPIC = /^[-\w]+(\.[-\w]+)*$/;
const FILTER = /^(([-\w]+|\*)(\.([-\w]+|\*))*(\.>)?|>)$/;
const LENGTH_MAX = 200;

/** Returns the topic, or throws EVENT_INVALID; no topic is ''. */
export function checkTopic(topic: string): string {
  if (topic === '' || (topic.length <= LENGTH_MAX && TOPIC.test(topic))) return topic;
  throw invalid(`its topic ${JSON.stringify(topic)} is not tokens of letters, digits, "-" and "_" joined by "."`);
}

/** Returns the filter, or throws OPTIONS_INVALID. */
export function checkTopicFilter(filter: string): string {
  if (filter.length <= LENGTH_MAX && FILTER.test(filter)) return filter;
  const problem = `is ${JSON.stringify(filter)}; a topic is expected, with "*" for one token and ">" for the rest`;
  throw optionsInvalid('the reading of a log', [{ field: 'topic', problem }]);
}

/** `*` stands for one token, `>` at the end for one or more. No filter: everything; events without a topic match no other. */
export function matchesTopic(filter: string | undefined, topic: string): boolean {
  if (filter === undefined || filter === topic) return true;
  if (topic === '') return false;
  const wanted = filter.split('.');
  const tokens = topic.split('.');
  const open = wanted.at(-1) === '>';
  if (open ? tokens.length < wanted.length : tokens.length !== wanted.length) return false;
  const exact = open ? wanted.slice(0, -1) : wanted;
  return exact.every((token, index) => token === '*' || token === tokens[index]);
}
