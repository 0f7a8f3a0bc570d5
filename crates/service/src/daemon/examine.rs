//! The configuration, read and checked whole: at the start, at each reload, and for `--check`.

use std::path::PathBuf;

use brim_config::{AbsolutePath, Cause, Problem, Reader, Severity, Tree, has_errors};

use super::Daemon;
use crate::command_line::Target;
use crate::program::Program;

/// Reads the configuration and plans the section, with the problems that its daemon has to mind:
/// of the files, of the defaults, of the section, and of whatever the section refers to.
pub(super) fn examine<P: Program>(
    program: &P,
    target: &Target,
) -> (Tree, Option<P::Plan>, Vec<Problem>) {
    let (tree, mut problems) = target.load();
    problems.retain(|problem| problem.concerns(&target.name.section()));
    let (plan, of_section) = program.plan(&tree, &target.name);
    problems.extend(of_section);
    (tree, plan, problems)
}

impl<P: Program> Daemon<P> {
    /// Examines the configuration off this thread: an app's own reading may take its time, and
    /// the watchdog wants its pings. Problems go to the journal.
    pub(super) async fn read(&mut self) -> Result<P::Plan, Vec<Problem>> {
        let (program, target) = (self.program.clone(), self.target.clone());
        let examined = tokio::task::spawn_blocking(move || examine(&*program, &target)).await;
        let result = match examined {
            Ok((tree, plan, problems)) => self.judge(&tree, plan, problems),
            Err(_) => {
                let cause = "an app panicked while it read its section".to_owned();
                Err(vec![self.refused(cause)])
            }
        };
        if let Err(problems) = &result {
            note(problems);
        }
        result
    }

    fn judge(
        &mut self,
        tree: &Tree,
        plan: Option<P::Plan>,
        problems: Vec<Problem>,
    ) -> Result<P::Plan, Vec<Problem>> {
        let section = self.name().section();
        let mut reader = Reader::new(tree, &section);
        let path = reader.own("program").map(|AbsolutePath(path)| path);
        if *self.path.get_or_insert_with(|| path.clone()) != path {
            // What the other program's apps would say of it means nothing here.
            let origin = reader.origin("program");
            let origin = origin.or_else(|| Some(tree.section(&section)?.origin.clone()));
            let cause = format!(
                "is another one now, and a reload cannot change it; run: systemctl restart brim@{}",
                self.name().instance()
            );
            let key = Some("program".to_owned());
            return Err(vec![Problem { origin, key, ..self.refused(cause) }]);
        }
        match plan {
            Some(plan) if !has_errors(&problems) => {
                note(&problems);
                self.shared.face().configured =
                    tree.instances().map(|name| name.section()).collect();
                self.warnings = problems.len();
                Ok(plan)
            }
            _ => Err(problems),
        }
    }

    fn refused(&self, cause: String) -> Problem {
        Problem {
            origin: None,
            section: Some(self.name().section()),
            key: None,
            severity: Severity::Error,
            cause: Cause::Refused(cause),
        }
    }
}

/// `program` of the section as this process found it first; `None` before that.
pub(super) type OwnPath = Option<Option<PathBuf>>;

fn note(problems: &[Problem]) {
    for problem in problems {
        match problem.severity {
            Severity::Error => tracing::error!("{problem}"),
            Severity::Warning => tracing::warn!("{problem}"),
        }
    }
}
