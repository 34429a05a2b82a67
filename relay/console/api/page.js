/** Shows /api/openapi.json to people: every operation, who may call it, what it takes and answers. */

const METHODS = ['get', 'put', 'post', 'delete'];

/** An element with attributes and children; text among the children stays text. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** Text with `code` in it. */
function prose(text) {
  return text.split('`').map((part, at) => (at % 2 ? make('code', {}, part) : part));
}

function paragraphs(text = '') {
  return text.split('\n\n').filter(Boolean).map((one) => make('p', {}, prose(one)));
}

const nameOf = (reference) => reference.split('/').at(-1);

/** What a schema allows, in a few words; named schemas are links. */
function typeOf(schema) {
  if (schema.$ref) {
    const name = nameOf(schema.$ref);
    return [make('a', { href: `#schema-${name}` }, name)];
  }
  if (schema.anyOf) return join(schema.anyOf.map(typeOf), ' or ');
  if (schema.enum) return join(schema.enum.map((value) => [make('code', {}, String(value))]), ', ');
  if (schema.type === 'array') return ['list of ', ...(schema.items?.type || schema.items?.$ref ? typeOf(schema.items) : ['anything'])];
  const limits = [
    [schema.minimum ?? schema.exclusiveMinimum, schema.minimum === undefined ? 'above' : 'at least'],
    [schema.maximum ?? schema.exclusiveMaximum, schema.maximum === undefined ? 'below' : 'at most'],
    [schema.minLength, 'characters: at least'],
    [schema.maxLength, 'characters: at most'],
  ].filter(([value]) => value !== undefined).map(([value, words]) => `${words} ${value}`);
  return [[schema.type ?? 'anything', ...limits].join(', ')];
}

function join(lists, separator) {
  return lists.flatMap((list, at) => (at ? [separator, ...list] : list));
}

function table(rows) {
  return make('table', {}, make('tbody', {}, rows));
}

function row(name, schema, { required = false, description = '', place = '' } = {}) {
  const usual = schema.default === undefined || schema.default === null || schema.default === '' ? [] : [` (${JSON.stringify(schema.default)})`];
  const mark = required ? [' ', make('span', { class: 'required', title: 'required' }, '*')] : [];
  return make('tr', {},
    make('td', {}, make('code', {}, name), mark),
    make('td', {}, typeOf(schema), usual),
    make('td', {}, prose([place, description].filter(Boolean).join(': '))));
}

function contentOf(content) {
  return Object.entries(content).map(([type, { schema }]) => make('div', {},
    ...(schema && (schema.$ref || schema.anyOf || schema.type === 'array') ? [...typeOf(schema), ' '] : []), make('code', {}, type)));
}

function section(title, children) {
  return children.length ? [make('h4', {}, title), ...children] : [];
}

function operationOf(method, path, operation) {
  const parameters = (operation.parameters ?? []).map((one) => row(one.name, one.schema, { ...one, place: one.in }));
  const body = operation.requestBody ? contentOf(operation.requestBody.content) : [];
  const answers = Object.entries(operation.responses).map(([status, { description, content = {} }]) => make('tr', {},
    make('td', {}, make('code', {}, status)),
    make('td', {}, contentOf(content)),
    make('td', {}, prose(description))));
  const roles = operation['x-roles'] ?? [];
  const others = operation.security.flatMap((one) => Object.keys(one));
  const callers = roles.length ? roles : others.length ? others : ['anyone'];
  return make('article', { id: operation.operationId },
    make('h3', {}, make('span', { class: `method ${method}` }, method.toUpperCase()), make('span', { class: 'path' }, path)),
    make('p', {}, prose(operation.summary)),
    paragraphs(operation.description),
    make('div', { class: 'roles' }, 'for', callers.map((one) => make('span', { class: 'role' }, one))),
    section('Parameters', parameters.length ? [table(parameters)] : []),
    section('Body', body),
    section('Answers', [table(answers)]));
}

function schemaOf(name, schema) {
  const required = new Set(schema.required ?? []);
  const rows = Object.entries(schema.properties ?? {}).map(([key, one]) => row(key, one, { required: required.has(key), description: one.description }));
  return make('article', { id: `schema-${name}` },
    make('h3', {}, make('span', { class: 'path' }, name)),
    paragraphs(schema.description),
    rows.length ? table(rows) : make('p', {}, typeOf(schema)));
}

function show(api) {
  const operations = Object.entries(api.paths).flatMap(([path, item]) => METHODS.filter((method) => item[method])
    .map((method) => ({ method, path, operation: item[method] })));
  const main = [make('h1', {}, `${api.info.title} API`), ...paragraphs(api.info.description),
    make('p', {}, make('a', { href: 'openapi.json' }, 'OpenAPI document'))];
  const nav = [];
  for (const { name } of api.tags) {
    const own = operations.filter(({ operation }) => operation.tags.includes(name));
    main.push(make('h2', {}, name), ...own.map(({ method, path, operation }) => operationOf(method, path, operation)));
    nav.push(make('h2', {}, name), ...own.map(({ method, path, operation }) => make('a', { href: `#${operation.operationId}`, title: operation.summary },
      make('span', { class: `method ${method}` }, method.toUpperCase()), make('span', {}, path))));
  }
  main.push(make('h2', {}, 'Schemas'), ...Object.entries(api.components.schemas).map(([name, schema]) => schemaOf(name, schema)));
  document.querySelector('nav').replaceChildren(...nav);
  document.querySelector('main').replaceChildren(...main);
  // The page was empty when the browser looked for the place that its address names.
  if (location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}

const main = document.querySelector('main');
try {
  const answer = await fetch('openapi.json');
  if (!answer.ok) throw new Error(`the relay answered ${answer.status}`);
  show(await answer.json());
} catch (error) {
  main.textContent = `The description of the API cannot be shown: ${error.message}.`;
}
