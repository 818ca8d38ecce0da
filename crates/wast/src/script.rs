//! Running a script: its directives in order, each on the machine of its kind.

use wast::lexer::Lexer;
use wast::parser::{self, ParseBuffer};
use wast::token::{Id, Span};
use wast::{QuoteWat, Wast, WastDirective, WastExecute, WastInvoke, WastRet, Wat};

use crate::machine::{Cause, Machine, Refusal};
use crate::named::Named;
use crate::report::{Failure, Report, Wrong};

/// Runs a script and reports what came of it. `name` is what the report calls it.
///
/// A directive that fails does not end the script, but those that need what it should have made are skipped.
pub fn run<C: Machine, M: Machine>(name: &str, text: &str, components: &mut C, modules: &mut M) -> Report {
    let unparsed = |error: wast::Error| Report {
        failures: vec![failure(name, text, error.span(), "", error.message())],
        ..Report::default()
    };
    let mut lexer = Lexer::new(text);
    // The standard lets names be confusing, and its scripts see to it that they are.
    lexer.allow_confusing_unicode(true);
    let buffer = match ParseBuffer::new_with_lexer(lexer) {
        Ok(buffer) => buffer,
        Err(error) => return unparsed(error),
    };
    let mut script = match parser::parse::<Wast<'_>>(&buffer) {
        Ok(script) => script,
        Err(error) => return unparsed(error),
    };
    let mut runner = Runner {
        name,
        text,
        components: Side::new(components),
        modules: Side::new(modules),
        last: Kind::Component,
        report: Report::default(),
    };
    runner.directives(&mut script.directives);
    runner.report
}

fn failure(script: &str, text: &str, span: Span, directive: &'static str, message: String) -> Failure {
    let (line, column) = span.linecol_in(text);
    Failure { script: script.to_owned(), line: line + 1, column: column + 1, directive, message }
}

/// A machine and what the script made on it.
struct Side<'m, M: Machine> {
    machine: &'m mut M,
    definitions: Named<M::Definition>,
    instances: Named<M::Instance>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Component,
    Module,
}

struct Runner<'a, C: Machine, M: Machine> {
    name: &'a str,
    text: &'a str,
    components: Side<'a, C>,
    modules: Side<'a, M>,
    /// What the latest instance is of: where a directive names none, that is meant.
    last: Kind,
    report: Report,
}

/// What a directive did instead of what it should have.
type Outcome = Result<(), Wrong>;

/// Does the same with either side: the two have different types.
macro_rules! on {
    ($self:ident, $kind:expr, $side:ident => $body:expr) => {
        match $kind {
            Kind::Component => {
                let $side = &mut $self.components;
                $body
            }
            Kind::Module => {
                let $side = &mut $self.modules;
                $body
            }
        }
    };
}

impl<C: Machine, M: Machine> Runner<'_, C, M> {
    fn directives(&mut self, directives: &mut [WastDirective<'_>]) {
        for directive in directives {
            let (span, noun) = (directive.span(), noun(directive));
            if let WastDirective::Thread(thread) = directive {
                // Threads of a script may run one after the other: what they wait for is done by then.
                self.directives(&mut thread.directives);
                continue;
            }
            match self.directive(directive) {
                Ok(()) => self.report.passed += 1,
                Err(Wrong::Before) => self.report.skipped += 1,
                Err(Wrong::Here(message)) => {
                    self.report.failures.push(failure(self.name, self.text, span, noun, message))
                }
            }
        }
    }

    fn directive(&mut self, directive: &mut WastDirective<'_>) -> Outcome {
        match directive {
            WastDirective::Module(wat) => {
                let (kind, name) = (kind_of(wat), wat.name());
                let binary = wat.encode();
                self.last = kind;
                on!(self, kind, side => side.module(name, binary))
            }
            WastDirective::ModuleDefinition(wat) => {
                let (kind, name) = (kind_of(wat), wat.name());
                let binary = wat.encode();
                self.last = kind;
                on!(self, kind, side => side.definition(name, binary))
            }
            WastDirective::ModuleInstance { instance, module, .. } => {
                let kind = self.kind_of_definition(*module);
                self.last = kind;
                on!(self, kind, side => side.instance(*instance, *module))
            }
            WastDirective::Register { name, module, .. } => {
                let kind = self.kind_of_instance(*module);
                on!(self, kind, side => side.register(name, *module))
            }
            WastDirective::Invoke(invoke) => self.perform(invoke)?.1.map_err(|refusal| unexpected(&refusal)),
            WastDirective::AssertReturn { exec, results, .. } => self.assert_return(exec, results),
            WastDirective::AssertTrap { exec, message, .. } => {
                self.assert_fails(exec, Cause::Trap, Some(message))
            }
            WastDirective::AssertException { exec, .. } => self.assert_fails(exec, Cause::Exception, None),
            WastDirective::AssertExhaustion { call, message, .. } => {
                let (kind, outcome) = self.perform(call)?;
                self.expect(kind, outcome, &[Cause::Exhausted], Some(message))
            }
            WastDirective::AssertUnlinkable { module, message, .. } => {
                let (kind, outcome) = self.instantiate(module);
                self.expect(kind, outcome, &[Cause::Unlinkable], Some(message))
            }
            WastDirective::AssertMalformed { module, message, .. }
            | WastDirective::AssertInvalid { module, message, .. } => self.assert_refused(module, message),
            WastDirective::AssertInvalidCustom { module, .. }
            | WastDirective::AssertMalformedCustom { module, .. } => {
                // Custom sections mean nothing to whoever runs the code: a mistake in one changes nothing.
                let (kind, binary) = (kind_of(module), module.encode());
                on!(self, kind, side => side.define(binary).map(drop)).map_err(|refusal| unexpected(&refusal))
            }
            WastDirective::AssertSuspension { .. } => {
                Err("stack switching is not supported".to_owned().into())
            }
            WastDirective::Thread(_) | WastDirective::Wait { .. } => Ok(()),
        }
    }

    fn kind_of_definition(&self, name: Option<Id<'_>>) -> Kind {
        match (self.components.definitions.has(name), self.modules.definitions.has(name)) {
            (true, false) => Kind::Component,
            (false, true) => Kind::Module,
            _ => self.last,
        }
    }

    fn kind_of_instance(&self, name: Option<Id<'_>>) -> Kind {
        match (self.components.instances.has(name), self.modules.instances.has(name)) {
            (true, false) => Kind::Component,
            (false, true) => Kind::Module,
            _ => self.last,
        }
    }

    fn assert_return(&mut self, exec: &mut WastExecute<'_>, expected: &[WastRet<'_>]) -> Outcome {
        match exec {
            WastExecute::Invoke(invoke) => {
                let kind = self.kind_of_instance(invoke.module);
                on!(self, kind, side => side.invoke_and_compare(invoke, expected))
            }
            WastExecute::Get { module, global, .. } => {
                let kind = self.kind_of_instance(*module);
                on!(self, kind, side => side.global_and_compare(*module, global, expected))
            }
            WastExecute::Wat(wat) => self.instantiate(wat).1.map_err(|refusal| unexpected(&refusal)),
        }
    }

    fn assert_fails(&mut self, exec: &mut WastExecute<'_>, cause: Cause, message: Option<&str>) -> Outcome {
        let (kind, outcome) = match exec {
            WastExecute::Invoke(invoke) => self.perform(invoke)?,
            WastExecute::Wat(wat) => self.instantiate(wat),
            WastExecute::Get { .. } => return Err("reading a global cannot fail".to_owned().into()),
        };
        // Using up the stack is a trap, too.
        let causes = [cause, if cause == Cause::Trap { Cause::Exhausted } else { cause }];
        self.expect(kind, outcome, &causes, message)
    }

    fn assert_refused(&mut self, wat: &mut QuoteWat<'_>, message: &str) -> Outcome {
        let kind = kind_of(wat);
        let outcome = match wat.encode() {
            Ok(binary) => on!(self, kind, side => side.machine.define(&binary).map(drop)),
            Err(error) => {
                let refusal = Refusal::new(Cause::Invalid, error.message());
                self.expect::<()>(kind, Err(refusal), &[Cause::Invalid], Some(message))?;
                self.report.by_text += 1;
                return Ok(());
            }
        };
        self.expect(kind, outcome, &[Cause::Invalid], Some(message))
    }

    /// Calls a function; the outer result says whether there was one to call.
    fn perform(&mut self, invoke: &WastInvoke<'_>) -> Result<(Kind, Result<(), Refusal>), Wrong> {
        let kind = self.kind_of_instance(invoke.module);
        on!(self, kind, side => side.invoke(invoke).map(|outcome| (kind, outcome.map(drop))))
    }

    /// Defines and instantiates something that the script has no further use for.
    fn instantiate(&mut self, wat: &mut Wat<'_>) -> (Kind, Result<(), Refusal>) {
        let kind = match wat {
            Wat::Module(_) => Kind::Module,
            Wat::Component(_) => Kind::Component,
        };
        let binary = wat.encode();
        (kind, on!(self, kind, side => side.instantiate(binary)))
    }

    /// Whether something on a machine failed as it should have.
    fn expect<T>(
        &mut self,
        kind: Kind,
        outcome: Result<T, Refusal>,
        causes: &[Cause],
        message: Option<&str>,
    ) -> Outcome {
        let cause = causes.first().copied().unwrap_or(Cause::Misuse);
        let wanted = match message {
            Some(message) => format!("expected {} `{message}`", cause.noun()),
            None => format!("expected {}", cause.noun()),
        };
        let Err(refusal) = outcome else { return Err(format!("it went well, but {wanted}").into()) };
        if !causes.contains(&refusal.cause) {
            return Err(format!("{wanted}, but it ended with {refusal}").into());
        }
        let says = |message: &str| on!(self, kind, side => side.machine.says(refusal.cause, &refusal.message, message));
        match message.map(says) {
            Some(false) => Err(format!("{wanted}, but it says: {}", refusal.message).into()),
            _ => Ok(()),
        }
    }
}

impl<'m, M: Machine> Side<'m, M> {
    fn new(machine: &'m mut M) -> Self {
        Side { machine, definitions: Named::new("definition"), instances: Named::new("instance") }
    }

    fn define(&mut self, binary: Result<Vec<u8>, wast::Error>) -> Result<M::Definition, Refusal> {
        match binary {
            Ok(binary) => self.machine.define(&binary),
            Err(error) => Err(Refusal::new(Cause::Invalid, error.message())),
        }
    }

    fn definition(&mut self, name: Option<Id<'_>>, binary: Result<Vec<u8>, wast::Error>) -> Outcome {
        let (definition, outcome) = split(self.define(binary));
        self.definitions.put(name, definition);
        outcome
    }

    fn instance(&mut self, name: Option<Id<'_>>, definition: Option<Id<'_>>) -> Outcome {
        let made = match self.definitions.get(definition) {
            Ok(definition) => split(self.machine.instantiate(definition)),
            Err(message) => (None, Err(message)),
        };
        self.instances.put(name, made.0);
        made.1
    }

    /// Both a definition and its instance.
    fn module(&mut self, name: Option<Id<'_>>, binary: Result<Vec<u8>, wast::Error>) -> Outcome {
        let outcome = self.definition(name, binary);
        outcome.and(self.instance(name, name))
    }

    /// Makes an instance that the script has no further use for.
    fn instantiate(&mut self, binary: Result<Vec<u8>, wast::Error>) -> Result<(), Refusal> {
        let definition = self.define(binary)?;
        self.machine.instantiate(&definition).map(drop)
    }

    fn register(&mut self, name: &str, instance: Option<Id<'_>>) -> Outcome {
        let instance = self.instances.get(instance)?;
        self.machine.register(name, instance).map_err(|refusal| unexpected(&refusal))
    }

    /// Calls a function; the outer result says whether there was an instance to call.
    fn invoke(&mut self, invoke: &WastInvoke<'_>) -> Result<Result<M::Results, Refusal>, Wrong> {
        let instance = self.instances.get(invoke.module)?;
        Ok(self.machine.invoke(instance, invoke.name, &invoke.args))
    }

    fn compare(&self, results: Result<M::Results, Refusal>, expected: &[WastRet<'_>]) -> Outcome {
        let results = results.map_err(|refusal| unexpected(&refusal))?;
        Ok(self.machine.compare(&results, expected)?)
    }

    fn invoke_and_compare(&mut self, invoke: &WastInvoke<'_>, expected: &[WastRet<'_>]) -> Outcome {
        let results = self.invoke(invoke)?;
        self.compare(results, expected)
    }

    fn global_and_compare(
        &mut self,
        name: Option<Id<'_>>,
        global: &str,
        expected: &[WastRet<'_>],
    ) -> Outcome {
        let results = self.machine.global(self.instances.get(name)?, global);
        self.compare(results, expected)
    }
}

fn unexpected(refusal: &Refusal) -> Wrong {
    Wrong::Here(refusal.to_string())
}

/// What was made, and what to say if nothing was.
fn split<T>(made: Result<T, Refusal>) -> (Option<T>, Outcome) {
    match made {
        Ok(made) => (Some(made), Ok(())),
        Err(refusal) => (None, Err(unexpected(&refusal))),
    }
}

fn kind_of(wat: &QuoteWat<'_>) -> Kind {
    match wat {
        QuoteWat::Wat(Wat::Module(_)) | QuoteWat::QuoteModule(..) => Kind::Module,
        QuoteWat::Wat(Wat::Component(_)) | QuoteWat::QuoteComponent(..) => Kind::Component,
    }
}

/// A directive's keyword.
fn noun(directive: &WastDirective<'_>) -> &'static str {
    match directive {
        WastDirective::Module(wat) => match kind_of(wat) {
            Kind::Component => "component",
            Kind::Module => "module",
        },
        WastDirective::ModuleDefinition(_) => "definition",
        WastDirective::ModuleInstance { .. } => "instance",
        WastDirective::AssertMalformed { .. } => "assert_malformed",
        WastDirective::AssertInvalid { .. } => "assert_invalid",
        WastDirective::AssertInvalidCustom { .. } => "assert_invalid_custom",
        WastDirective::AssertMalformedCustom { .. } => "assert_malformed_custom",
        WastDirective::Register { .. } => "register",
        WastDirective::Invoke(_) => "invoke",
        WastDirective::AssertTrap { .. } => "assert_trap",
        WastDirective::AssertReturn { .. } => "assert_return",
        WastDirective::AssertExhaustion { .. } => "assert_exhaustion",
        WastDirective::AssertUnlinkable { .. } => "assert_unlinkable",
        WastDirective::AssertException { .. } => "assert_exception",
        WastDirective::AssertSuspension { .. } => "assert_suspension",
        WastDirective::Thread(_) => "thread",
        WastDirective::Wait { .. } => "wait",
    }
}
