Console.Error.WriteLine("twin: no command yet");
return 2;
