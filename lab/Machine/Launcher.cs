using System.Diagnostics;

namespace Forengate.Lab.Machine;

/// <summary>Runs a program to its end, bounded, and hands back what it said.</summary>
internal static class Launcher
{
    public sealed record Outcome(int ExitCode, string Output, string Error);

    /// <exception cref="MachineException">The program is not there, or does not end in time.</exception>
    public static Outcome Run(string program, IEnumerable<string> arguments, TimeSpan timeout, IReadOnlyDictionary<string, string>? environment = null)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, RedirectStandardInput = true };
        foreach (var (name, value) in environment ?? new Dictionary<string, string>())
            start.Environment[name] = value;
        Process process;
        try
        {
            process = Process.Start(start)!;
        }
        catch (System.ComponentModel.Win32Exception e)
        {
            throw new MachineException($"{program}: {e.Message}; is it installed?", e);
        }
        using (process)
        {
            process.StandardInput.Close();
            var output = process.StandardOutput.ReadToEndAsync();
            var error = process.StandardError.ReadToEndAsync();
            if (!process.WaitForExit(timeout))
            {
                process.Kill();
                throw new MachineException($"{program}: not done after {timeout.TotalSeconds:0} s");
            }
            // A daemon left behind may keep the pipes open for ever.
            Task.WaitAll([output, error], TimeSpan.FromSeconds(2));
            return new Outcome(process.ExitCode, output.IsCompletedSuccessfully ? output.Result : "", error.IsCompletedSuccessfully ? error.Result : "");
        }
    }
}
